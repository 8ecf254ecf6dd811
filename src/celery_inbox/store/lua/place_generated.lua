-- Remember generated ids that another partition saw.
-- Reply: 1.
-- Uses: keys, full, parcel.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local FIRST  = 2                        -- ARGV[2...]: digest and id in one, at; of each

local GENERATED_TTL = 60000

only_for(keys, ticket)
write_when_full(keys)
for i = FIRST, #ARGV, 2 do redis.call('ZADD', keys.generated, ARGV[i + 1], ARGV[i]) end
redis.call('PEXPIRE', keys.generated, GENERATED_TTL)
return 1
