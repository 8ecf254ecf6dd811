-- Take away a session, or a dead letter, that was placed in its new partition.
-- Reply: 1.
-- Uses: keys, full, parcel.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local kind   = ARGV[2]                  -- session or letter
local name   = ARGV[3]                  -- digest or dead letter id

only_for(keys, ticket)
write_when_full(keys)
local sets, whole = parcel(keys, kind, name)
for _, set in ipairs(sets) do redis.call('ZREM', set, name) end
for _, key in ipairs(whole) do redis.call('UNLINK', key) end
return 1
