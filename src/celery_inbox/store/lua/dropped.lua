-- Read a page of what a drop took out, and forget that page.
-- Reply: {element...}; empty when all was read.
-- Uses: keys, full.
local keys   = partition_keys(KEYS[1])  -- partition
local ticket = ARGV[1]                  -- of the drop
local most   = tonumber(ARGV[2])        -- elements

work_when_full(keys)
local dropped = dropped_key(KEYS[1], ticket)
local page = redis.call('LRANGE', dropped, 0, most - 1)
redis.call('LTRIM', dropped, most, -1)
return page
