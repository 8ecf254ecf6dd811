-- Record that sessions are to be moved to another number of partitions, or learn how far that has come.
-- Reply: {partitions as recorded or false, number they are moved to, ticket, phase}: freezing, moving, ending, or given_up.
-- Uses: keys.
local keys   = inbox_keys(KEYS[1])  -- inbox
local old    = ARGV[1]              -- number of partitions
local new    = ARGV[2]              -- number of partitions
local ticket = ARGV[3]              -- names this repartition, unless one is under way

local recorded = redis.call('HGET', keys.config, 'partitions')
if recorded == old and old ~= new and redis.call('HSETNX', keys.config, 'moving', new) == 1 then
  redis.call('HSET', keys.config, 'ticket', ticket, 'phase', 'freezing')
end
local found = redis.call('HMGET', keys.config, 'moving', 'ticket', 'phase')
return { recorded, found[1], found[2], found[3] }
