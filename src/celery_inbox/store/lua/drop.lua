-- Take a session's waiting messages out, and its open batch unless it runs; they can be read under the ticket for an hour.
-- Reply: how many.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest
local ticket  = ARGV[3]                  -- names this call: sent twice, it gets the same reply

local AN_HOUR = 3600000

work_when_full(keys, session)
local dropped = dropped_keys(KEYS[1], ticket)
local known = redis.call('LLEN', dropped.waiting) + redis.call('LLEN', dropped.batch)
if known > 0 then return known end
local found = load(session)
if not found.name then return 0 end
if redis.call('EXISTS', session.waiting) == 1 then redis.call('RENAME', session.waiting, dropped.waiting) end
if not found.fence and redis.call('EXISTS', session.batch) == 1 then redis.call('RENAME', session.batch, dropped.batch) end
local count = redis.call('LLEN', dropped.waiting) + redis.call('LLEN', dropped.batch)
redis.call('HINCRBY', keys.counts, 'dropped', count)
redis.call('PEXPIRE', dropped.waiting, AN_HOUR)
redis.call('PEXPIRE', dropped.batch, AN_HOUR)
found.bytes, found.flush, found.closed, found.active, found.key, found.head = 0, 0, false, false, '-', 'm'
save_waiting(session, found)
if not found.fence then close_batch(keys, session, found, now) end
return count
