-- Read a page of what a drop took out, and forget that page.
-- Reply: {element...}; empty when all was read.
-- Uses: keys, page, full.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the drop
local most   = tonumber(ARGV[2])        -- elements

write_when_full(keys)
local dropped = dropped_keys(KEYS[1], ticket)
local elements, room = read_page(dropped.batch, 0, most - 1, PAGE_BYTES)
redis.call('LTRIM', dropped.batch, #elements, -1)
if redis.call('EXISTS', dropped.batch) == 0 then
  local others = read_page(dropped.waiting, 0, most - #elements - 1, room)
  redis.call('LTRIM', dropped.waiting, #others, -1)
  for _, element in ipairs(others) do table.insert(elements, element) end
end
return elements
