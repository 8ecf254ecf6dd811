-- Take a session's waiting messages out, and its open batch unless it runs; they can be read under the ticket for an hour.
-- Reply: how many.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest
local ticket  = ARGV[3]                  -- names this call: sent twice, it gets the same reply

local AN_HOUR = 3600000

work_when_full(keys)
local dropped = dropped_key(KEYS[1], ticket)
if redis.call('EXISTS', dropped) == 1 then return redis.call('LLEN', dropped) end
local found = load(session)
if not found.name then return 0 end
if redis.call('EXISTS', session.waiting) == 1 then redis.call('RENAME', session.waiting, dropped) end
if found.batch and not found.fence then
  while redis.call('LMOVE', session.batch, dropped, 'RIGHT', 'LEFT') do end
end
local count = redis.call('LLEN', dropped)
redis.call('HINCRBY', keys.counts, 'dropped', count)
redis.call('PEXPIRE', dropped, AN_HOUR)
found.bytes, found.flush, found.closed, found.active, found.key, found.head = 0, 0, false, false, '-', 'm'
save_waiting(session, found)
if not found.fence then close_batch(keys, session, found, now) end
return count
