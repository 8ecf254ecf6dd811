-- Read what a partition has beside sessions and dead letters.
-- Reply: {{generated id, at...}, {counter, value...}, {quarantined element...}}; the last two only of a partition that goes.
-- Uses: keys, parcel.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local goes   = ARGV[2] == '1'           -- the partition will be no more

only_for(keys, ticket)
return {
  redis.call('ZRANGE', keys.generated, 0, -1, 'WITHSCORES'), goes and redis.call('HGETALL', keys.counts) or {},
  goes and redis.call('LRANGE', keys.corrupt, 0, -1) or {},
}
