-- Forget kicks that could not be published.
-- Reply: how many were still recorded.
-- Uses: keys.
local keys  = partition_keys(KEYS[1])  -- partition
local kicks = ARGV[1]                  -- kind and kick id each, separated by spaces

local forgotten = 0
for kick in string.gmatch(kicks, '%S+') do forgotten = forgotten + redis.call('ZREM', keys.kicks, kick) end
return forgotten
