-- Push the debounce back without a message: somebody is typing.
-- Reply: due_at, or false when nothing waits.
-- Uses: clock, keys, element, session, due, arm, full.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest

work_when_full(keys, session)
local found = load(session)
if redis.call('LLEN', session.waiting) == 0 then return false end
if not redis.call('ZSCORE', keys.stopped, session.digest) and (found.fence or not found.batch) then
  redis.call('HSET', session.hash, 'active_at', now)
  found.active_at = now
  if not found.batch then arm(keys, session, found, now) end
end
local due = redis.call('ZSCORE', keys.due, session.digest)
return due and tonumber(due)
