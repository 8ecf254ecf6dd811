-- Copy a session, or a dead letter, to be placed in another partition.
-- Reply: {score or ''..., end of life in ms or 0, dump or ''...}, by set and then by key; empty when nothing is there.
-- Uses: clock, keys, parcel.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the repartition
local kind   = ARGV[2]                  -- session or letter
local name   = ARGV[3]                  -- digest or dead letter id

only_for(keys, ticket)
local now = now_ms('')
local sets, whole = parcel(keys, kind, name)
local packed, is_there = {}, false
for _, set in ipairs(sets) do
  local score = redis.call('ZSCORE', set, name)
  table.insert(packed, score or '')
  is_there = is_there or score
end
for _, key in ipairs(whole) do
  local left = redis.call('PTTL', key)
  table.insert(packed, left >= 0 and now + math.max(left, 1) or 0)
  local dump = redis.call('DUMP', key)
  table.insert(packed, dump or '')
  is_there = is_there or dump
end
return is_there and packed or {}
