-- Extend a lease, or only ask for it; only the fence counts, not the time.
-- Reply: 0 when lost, 1 when held, 2 when held and cancelled.
-- Uses: clock, keys, session, full.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest
local fence   = tonumber(ARGV[3])        -- of the claim
local lease   = tonumber(ARGV[4])        -- ms; 0 to ask only

work_when_full(keys)
local found = load(session)
if found.fence ~= fence then return 0 end
if lease > 0 then redis.call('ZADD', keys.leased, now + lease, session.digest) end
return found.cancel == fence and 2 or 1
