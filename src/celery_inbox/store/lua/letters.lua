-- List a page of the partition's dead letters, oldest first.
-- Reply: {{id, at, {field, value...}, {element...}}...}.
-- Uses: keys.
local keys  = partition_keys(KEYS[1])  -- partition
local first = tonumber(ARGV[1])        -- index
local last  = tonumber(ARGV[2])        -- index

local listed = {}
local found = redis.call('ZRANGE', keys.dead, first, last, 'WITHSCORES')
for i = 1, #found, 2 do
  local letter = dead_keys(KEYS[1], found[i])
  table.insert(listed, { found[i], found[i + 1], redis.call('HGETALL', letter.info), redis.call('LRANGE', letter.batch, 0, -1) })
end
return listed
