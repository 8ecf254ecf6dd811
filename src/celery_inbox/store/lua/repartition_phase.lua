-- Go on to the next phase of a repartition, unless somebody else went to another.
-- Reply: 1 when it is in that phase, else 0.
-- Uses: keys.
local keys   = inbox_keys(KEYS[1])  -- inbox
local ticket = ARGV[1]              -- of the repartition
local before = ARGV[2]              -- phase
local after  = ARGV[3]              -- phase

local found = redis.call('HMGET', keys.config, 'ticket', 'phase')
if found[1] ~= ticket then return 0 end
if found[2] == before then redis.call('HSET', keys.config, 'phase', after) end
return (found[2] == before or found[2] == after) and 1 or 0
