-- Extend a lease; only the fence counts, not the time.
-- Reply: 1 when renewed, 0 when lost.
-- Uses: clock, keys, session, full.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest
local fence   = tonumber(ARGV[3])        -- of the claim
local lease   = tonumber(ARGV[4])        -- ms

work_when_full(keys)
if load(session).fence ~= fence then return 0 end
redis.call('ZADD', keys.leased, now + lease, session.digest)
return 1
