-- Record what all processes of an inbox must agree on, unless it is recorded.
-- Reply: {partitions, serializer} as recorded, and the number of partitions that sessions are being moved to or false.
-- Uses: keys.
local keys       = inbox_keys(KEYS[1])  -- inbox
local partitions = ARGV[1]
local serializer = ARGV[2]

redis.call('HSETNX', keys.config, 'partitions', partitions)
redis.call('HSETNX', keys.config, 'serializer', serializer)
return redis.call('HMGET', keys.config, 'partitions', 'serializer', 'moving')
