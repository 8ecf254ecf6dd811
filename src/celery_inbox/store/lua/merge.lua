-- Add the counters and quarantined elements of a partition that goes; done twice, they are added once.
-- Reply: 1 when they were added now, else 0.
-- Uses: keys, full, parcel.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local origin = ARGV[2]                  -- the partition that goes
local counts = tonumber(ARGV[3])        -- how many counters follow
local FIRST  = 4                        -- ARGV[4...]: name and value of each counter, then elements

only_for(keys, ticket)
write_when_full(keys)
if redis.call('SADD', keys.merged, origin) == 0 then return 0 end
local elements = FIRST + 2 * counts
for i = FIRST, elements - 1, 2 do redis.call('HINCRBY', keys.counts, ARGV[i], ARGV[i + 1]) end
for i = elements, #ARGV do redis.call('RPUSH', keys.corrupt, ARGV[i]) end
return 1
