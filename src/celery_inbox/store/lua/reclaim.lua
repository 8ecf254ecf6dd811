-- End leases that were not renewed; after an outage of Redis, let holders renew first.
-- Reply: {{digest, session, fence, attempt, what became of the batch, batch id}...}; that is retry, dead, held or isolated.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys     = partition_keys(KEYS[1])  -- partition
local now      = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local lease    = tonumber(ARGV[2])        -- ms
local outage   = ARGV[3] == '1'           -- the caller could not reach Redis for a third of a lease
local max_dead = tonumber(ARGV[4])

local AT_MOST = 20
local CRASHED = 'The worker did not renew its lease: killed, out of memory, or hung.'

work_when_full(keys)
if outage then redis.call('HSET', keys.state, 'grace_until', now + lease) end
if tonumber(redis.call('HGET', keys.state, 'grace_until') or 0) > now then return {} end
local reclaimed = {}
for _, digest in ipairs(redis.call('ZRANGEBYSCORE', keys.leased, '-inf', now, 'LIMIT', 0, AT_MOST)) do
  local session = session_keys(KEYS[1], digest)
  local damaged = is_damaged(session)
  local found = damaged and {} or load(session)
  if damaged then
    stop_damaged(keys, session)
  elseif not found.fence then
    redis.call('ZREM', keys.leased, digest)
  else
    local told = { digest, found.name, found.fence, found.attempt, 'retry', found.batch }
    if redis.call('ZSCORE', keys.stopping, found.worker) then found.attempt = found.attempt - 1 end
    -- Quarantine may have taken every message before the worker died.
    if redis.call('EXISTS', session.batch) == 0 then
      close_batch(keys, session, found, now)
    elseif found.attempt >= found.max_attempts then
      told[5] = exhaust(keys, session, found, now, 'crashed', CRASHED, max_dead)
    else
      back_off(keys, session, found, now, now)
    end
    table.insert(reclaimed, told)
  end
end
return reclaimed
