-- Stop a session: its messages collect, nothing runs; a run that is going may finish.
-- Reply: 1.
-- Uses: clock, keys, element, session, due, arm, full.
local keys     = partition_keys(KEYS[1])  -- partition
local now      = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session  = session_keys(KEYS[1], ARGV[2]) -- digest
local duration = tonumber(ARGV[3])        -- ms; 0 until resume

work_when_full(keys, session)
if duration > 0 then
  redis.call('SET', session.pause, now + duration, 'PX', duration)
else
  redis.call('SET', session.pause, 0)
end
local found = load(session)
if found.name and not found.fence then arm(keys, session, found, now) end
return 1
