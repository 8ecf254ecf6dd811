-- Make what waits due now; an open batch that waits for its next attempt is tried now.
-- Reply: messages that are due now.
-- Uses: clock, keys, element, session, due, arm, full.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest

work_when_full(keys, session)
local found = load(session)
if not found.name then return 0 end
local count = redis.call('LLEN', session.waiting)
found.flush = count
if count > 0 then redis.call('HSET', session.hash, 'flush', count) end
if found.fence then return count end
if found.batch then
  found.retry_at = now
  redis.call('HSET', session.hash, 'retry_at', now)
  count = count + redis.call('LLEN', session.batch)
end
if not redis.call('ZSCORE', keys.stopped, session.digest) then arm(keys, session, found, now) end
return count
