-- Cancel a running batch, or one that waits for its next attempt; the holder settles its own with its fence.
-- Reply: marked (the holder will see it), done, nothing (no batch is open) or lost (the fence is not the holder's).
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys      = partition_keys(KEYS[1])  -- partition
local now       = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session   = session_keys(KEYS[1], ARGV[2]) -- digest
local fence     = tonumber(ARGV[3])        -- of the claim; 0 from outside
local max_batch = tonumber(ARGV[4])
local max_bytes = tonumber(ARGV[5])

work_when_full(keys, fence == 0 and session)
local found = load(session)
if fence == 0 and found.fence then
  redis.call('HSET', session.hash, 'cancel', string.format('%.0f', found.fence))
  return 'marked'
end
if fence == 0 and not found.batch then return 'nothing' end
if fence > 0 then
  local outcome = standing(keys, found, fence, now)
  if outcome ~= 'held' then return outcome end
  settled(keys, found, now)
end
settle_cancelled(keys, session, found, now, { max_batch = max_batch, max_bytes = max_bytes })
return 'done'
