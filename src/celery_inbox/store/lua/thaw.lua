-- Let everybody into a partition again who knows the number of partitions.
-- Reply: 1 when it was frozen by this repartition, else 0.
-- Uses: keys, full.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local layout = ARGV[2]                  -- number of partitions

if redis.call('HGET', keys.state, 'ticket') ~= ticket then return 0 end
write_when_full(keys)
redis.call('HSET', keys.state, 'layout', layout)
redis.call('HDEL', keys.state, 'ticket', 'wake_at')
redis.call('UNLINK', keys.merged)
return 1
