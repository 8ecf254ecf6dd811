-- Lease the longest-due session of the partition and move its oldest messages into its batch.
-- Reply: {line, sizes, elements}: digest, fence, attempt, batch id, kind, due_at, claimed_at and session; false when nothing is due.
-- Uses: clock, keys, element, session, due, arm, full, aside, claim.
local keys         = partition_keys(KEYS[1])  -- partition
local now          = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local kick         = ARGV[2]                  -- id of the kick that led here, or ''
local token        = ARGV[3]                  -- names this call: sent twice, it gets the same reply
local kind         = ARGV[4]                  -- m or c
local worker       = ARGV[5]                  -- who claims
local lease        = tonumber(ARGV[6])        -- ms
local max_batch    = tonumber(ARGV[7])
local max_bytes    = tonumber(ARGV[8])
local min_interval = tonumber(ARGV[9])        -- ms
local max_attempts = tonumber(ARGV[10])
local on_exhausted = ARGV[11]                 -- park, hold or isolate
local on_cancel    = ARGV[12]                 -- ack or rejoin

work_when_full(keys)
local claimed = claim_next(keys, now, {
  token = token, kind = kind, worker = worker, lease = lease, max_batch = max_batch, max_bytes = max_bytes,
  min_interval = min_interval, max_attempts = max_attempts, on_exhausted = on_exhausted, on_cancel = on_cancel,
})
if kick ~= '' then
  redis.call('ZREM', keys.kicks, kind .. kick)
  -- The next kick is on its way while this one works.
  if claimed and redis.call('ZCOUNT', keys.due, '-inf', now) > 0 then wake(keys, now, now) end
end
return claimed
