-- Record what all processes of an inbox must agree on, unless it is recorded.
-- Reply: {partitions, serializer} as recorded.
local config     = KEYS[1]  -- inbox
local partitions = ARGV[1]
local serializer = ARGV[2]

redis.call('HSETNX', config, 'partitions', partitions)
redis.call('HSETNX', config, 'serializer', serializer)
return redis.call('HMGET', config, 'partitions', 'serializer')
