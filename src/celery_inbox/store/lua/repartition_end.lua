-- End a repartition: the number of partitions is recorded, and everybody who knows it may come.
-- Reply: 1 when this was its end, 0 when it had ended.
-- Uses: keys.
local keys       = inbox_keys(KEYS[1])  -- inbox
local ticket     = ARGV[1]              -- of the repartition
local partitions = ARGV[2]              -- the new number, or the old one when it was given up

if redis.call('HGET', keys.config, 'ticket') ~= ticket then return 0 end
redis.call('HSET', keys.config, 'partitions', partitions)
redis.call('HDEL', keys.config, 'moving', 'ticket', 'phase')
return 1
