-- Set aside an element of an open batch whose payload cannot be read.
-- Reply: 1 when moved, 0 when the fence is stale or the element is gone.
-- Uses: keys, session, full, aside.
local keys    = partition_keys(KEYS[1])  -- partition
local session = session_keys(KEYS[1], ARGV[1]) -- digest
local fence   = tonumber(ARGV[2])        -- of the claim
local element = ARGV[3]

work_when_full(keys)
if load(session).fence ~= fence or redis.call('LREM', session.batch, 1, element) == 0 then return 0 end
set_aside(keys, element)
return 1
