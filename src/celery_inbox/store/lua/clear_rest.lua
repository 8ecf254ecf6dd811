-- Take away what a partition has beside sessions and dead letters; one that stays keeps its counters.
-- Reply: 1.
-- Uses: keys, full, parcel.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local goes   = ARGV[2] == '1'           -- the partition will be no more

only_for(keys, ticket)
write_when_full(keys)
redis.call('UNLINK', keys.kicks, keys.holders, keys.settled, keys.stopping)
if goes then redis.call('UNLINK', keys.generated, keys.counts, keys.corrupt) end
return 1
