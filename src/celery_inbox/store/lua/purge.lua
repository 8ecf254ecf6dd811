-- Delete a dead letter for good.
-- Reply: messages deleted; 0 when there is no such dead letter.
-- Uses: keys, full.
local keys    = partition_keys(KEYS[1])  -- partition
local id      = ARGV[1]                  -- dead letter id
local evicted = ARGV[2] == '1'           -- it makes room for newer ones

work_when_full(keys)
if redis.call('ZREM', keys.dead, id) == 0 then return 0 end
local letter = dead_keys(KEYS[1], id)
local count = redis.call('LLEN', letter.batch)
if evicted then redis.call('HINCRBY', keys.counts, 'dead_evicted', count) end
redis.call('UNLINK', letter.batch, letter.info)
return count
