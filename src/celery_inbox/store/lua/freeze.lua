-- Keep everybody but the mover out of a partition, unless a batch runs there.
-- Reply: how many run; 0 when the partition is frozen.
-- Uses: keys, full.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition

if redis.call('HGET', keys.state, 'ticket') == ticket then return 0 end
local running = redis.call('ZCARD', keys.leased)
if running > 0 then return running end
write_when_full(keys)
redis.call('HSET', keys.state, 'layout', 0, 'ticket', ticket)
return 0
