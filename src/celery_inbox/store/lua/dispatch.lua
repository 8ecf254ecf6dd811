-- Decide which kicks a partition needs now and when to look again.
-- Reply: {ms until the next look, expired leases, kicks older than a lease, {kick id for messages...},
-- {kick id for commands...}}.
-- Uses: clock, keys, element, session, due, arm, full.
local keys     = partition_keys(KEYS[1])  -- partition
local now      = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local nonce    = ARGV[2]                  -- first part of the kick ids
local slots    = tonumber(ARGV[3])        -- runs that the worker can do at once
local lease    = tonumber(ARGV[4])        -- ms
local interval = tonumber(ARGV[5])        -- ms, the longest sleep
local queued   = tonumber(ARGV[6])        -- kicks that still lie in the broker, where the caller has looked; else -1

local LOOK_AT = 100

work_when_full(keys)
-- An old kick is lost unless it still lies in the broker; then it must not be published again.
local old = redis.call('ZRANGEBYSCORE', keys.kicks, '-inf', now - lease)
for number, kick in ipairs(queued >= 0 and old or {}) do
  if number <= queued then
    redis.call('ZADD', keys.kicks, now, kick)
  else
    redis.call('ZREM', keys.kicks, kick)
  end
end
for _, digest in ipairs(redis.call('ZRANGEBYSCORE', keys.stopped, '-inf', now, 'LIMIT', 0, LOOK_AT)) do
  local session = session_keys(KEYS[1], digest)
  if is_damaged(session) then
    stop_damaged(keys, session)
  else
    start_again(keys, session, load(session), now)
  end
end
local kicks = { m = {}, c = {} }
local due = redis.call('ZRANGEBYSCORE', keys.due, '-inf', now, 'LIMIT', 0, 2 * slots)
if #due > 0 then
  local wanted = { m = 0, c = 0 }
  for _, digest in ipairs(due) do
    local session = session_keys(KEYS[1], digest)
    if is_damaged(session) then
      stop_damaged(keys, session)
    else
      local next_batch = redis.call('HMGET', session.hash, 'batch', 'kind', 'head')
      local kind = (next_batch[1] and next_batch[2] or next_batch[3]) == 'c' and 'c' or 'm'
      wanted[kind] = wanted[kind] + 1
    end
  end
  for _, kick in ipairs(redis.call('ZRANGE', keys.kicks, 0, -1)) do
    local kind = string.sub(kick, 1, 1)
    wanted[kind] = wanted[kind] - 1
  end
  for kind, ids in pairs(kicks) do
    for i = 1, wanted[kind] do
      ids[i] = nonce .. '-' .. keys.partition .. '-' .. kind .. i
      redis.call('ZADD', keys.kicks, now, kind .. ids[i])
    end
  end
end

local look_at = now + interval
local next_due = redis.call('ZRANGEBYSCORE', keys.due, '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local lease_end = redis.call('ZRANGE', keys.leased, 0, 0, 'WITHSCORES')[2]
local stop_ends_at = redis.call('ZRANGE', keys.stopped, 0, 0, 'WITHSCORES')[2]
if stop_ends_at then look_at = math.min(look_at, math.max(tonumber(stop_ends_at), now)) end
if next_due then look_at = math.min(look_at, tonumber(next_due)) end
local expired = 0
if lease_end and tonumber(redis.call('HGET', keys.state, 'grace_until') or 0) <= now then
  expired = redis.call('ZCOUNT', keys.leased, '-inf', now)
  look_at = math.min(look_at, math.max(tonumber(lease_end), now))
end
redis.call('HSET', keys.state, 'wake_at', look_at, 'looked_at', now)
return { look_at - now, expired, queued < 0 and #old or 0, kicks.m, kicks.c }
