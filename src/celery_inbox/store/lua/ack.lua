-- End a claim whose batch was handled; with a token, claim the next due session in the same call.
-- Reply: {done or lost, messages handled, claim as of claim.lua or false}.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle, aside, claim.
local keys         = partition_keys(KEYS[1])  -- partition
local now          = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session      = session_keys(KEYS[1], ARGV[2]) -- digest
local fence        = tonumber(ARGV[3])        -- of the claim
local token        = ARGV[4]                  -- of the next claim, or '' for none
local kind         = ARGV[5]                  -- m or c
local worker       = ARGV[6]                  -- who claims
local lease        = tonumber(ARGV[7])        -- ms
local max_batch    = tonumber(ARGV[8])
local max_bytes    = tonumber(ARGV[9])
local min_interval = tonumber(ARGV[10])       -- ms
local max_attempts = tonumber(ARGV[11])
local on_exhausted = ARGV[12]                 -- park, hold or isolate
local on_cancel    = ARGV[13]                 -- ack or rejoin

work_when_full(keys)
local holder = redis.call('HMGET', session.hash, 'fence', 'token', 'name')
local found = { fence = tonumber(holder[1]), token = holder[2], name = holder[3] }
local outcome, handled = standing(keys, found, fence, now), 0
if outcome == 'held' then
  outcome, handled = 'done', redis.call('LLEN', session.batch)
  settled(keys, found, now)
  redis.call('HINCRBY', keys.counts, 'handled', handled)
  if redis.call('EXISTS', session.waiting) == 1 then
    close_batch(keys, session, load(session), now)
  else
    close_last(keys, session, found)
  end
end
local claimed = false
if token ~= '' then
  claimed = claim_next(keys, now, {
    token = token, kind = kind, worker = worker, lease = lease, max_batch = max_batch, max_bytes = max_bytes,
    min_interval = min_interval, max_attempts = max_attempts, on_exhausted = on_exhausted, on_cancel = on_cancel,
  })
end
return { outcome, handled, claimed }
