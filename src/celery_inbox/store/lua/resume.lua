-- Let a paused or held session go on; a held batch gets all its attempts again.
-- Reply: 1 when the session was stopped, else 0.
-- Uses: clock, keys, element, session, due, arm, full.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest

work_when_full(keys, session)
local found = load(session)
local was_stopped = redis.call('DEL', session.pause) == 1 or found.held
if found.held then
  redis.call('HDEL', session.hash, 'held')
  redis.call('HSET', session.hash, 'attempt', 0, 'retry_at', now)
  found.held, found.attempt, found.retry_at = false, 0, now
end
start_again(keys, session, found, now)
return was_stopped and 1 or 0
