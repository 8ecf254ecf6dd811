-- Record that a worker was told to stop: it claims no more, and its leases end as releases.
-- Reply: 1.
-- Uses: clock, keys, full.
local keys   = partition_keys(KEYS[1])  -- partition
local now    = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local worker = ARGV[2]                  -- who stops
local keep   = tonumber(ARGV[3])        -- ms, longer than any of its runs

work_when_full(keys)
redis.call('ZREMRANGEBYSCORE', keys.stopping, '-inf', now - keep)
redis.call('ZADD', keys.stopping, now, worker)
redis.call('PEXPIRE', keys.stopping, keep)
return 1
