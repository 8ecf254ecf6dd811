-- Record that a worker consumes: it claimed, or a run of it goes on.
-- Reply: 1.
-- Uses: clock, keys, full.
local keys   = inbox_keys(KEYS[1])  -- inbox
local now    = now_ms(ARGV[1])      -- ms, or '' for Redis's clock
local worker = ARGV[2]              -- who consumes

local AN_HOUR = 3600000

work_when_full(keys)
redis.call('ZREMRANGEBYSCORE', keys.proofs, '-inf', now - AN_HOUR)
redis.call('ZADD', keys.proofs, now, worker)
return 1
