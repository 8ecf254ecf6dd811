-- End a claim whose batch failed: it is tried again after a delay, or set aside after its last attempt.
-- Reply: {retry, retry_at} | {dead, held or isolated, batch id, {evicted dead letter id...}} | {done or lost}.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys      = partition_keys(KEYS[1])  -- partition
local now       = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session   = session_keys(KEYS[1], ARGV[2]) -- digest
local fence     = tonumber(ARGV[3])        -- of the claim
local delay     = tonumber(ARGV[4])        -- ms until the next attempt; -1 for no further attempt
local reason    = ARGV[5]                  -- short
local traceback = ARGV[6]
local max_dead  = tonumber(ARGV[7])

work_when_full(keys)
local found = load(session)
local outcome = standing(keys, found, fence, now)
if outcome ~= 'held' then return { outcome } end
settled(keys, found, now)
-- Quarantine took every message: nothing is left to try again or to bury.
if redis.call('EXISTS', session.batch) == 0 then
  close_batch(keys, session, found, now)
  return { 'done' }
end
if delay >= 0 and found.attempt < found.max_attempts then
  back_off(keys, session, found, now + delay, now)
  return { 'retry', now + delay }
end
if delay < 0 then found.on_exhausted = 'park' end
return { exhaust(keys, session, found, now, reason, traceback, max_dead) }
