-- Put a packed session, or a dead letter, into its new partition; done twice, it is there once.
-- Reply: 1.
-- Uses: keys, full, parcel.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local kind   = ARGV[2]                  -- session or letter
local name   = ARGV[3]                  -- digest or dead letter id
local FIRST  = 4                        -- ARGV[4...]: what pack replied

only_for(keys, ticket)
write_when_full(keys)
local sets, whole = parcel(keys, kind, name)
for i, set in ipairs(sets) do
  local score = ARGV[FIRST + i - 1]
  if score ~= '' then redis.call('ZADD', set, score, name) end
end
for i, key in ipairs(whole) do
  local at = FIRST + #sets + 2 * (i - 1)
  if ARGV[at + 1] ~= '' then redis.call('RESTORE', key, ARGV[at], ARGV[at + 1], 'REPLACE', 'ABSTTL') end
end
return 1
