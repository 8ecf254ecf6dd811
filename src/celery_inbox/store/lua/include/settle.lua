-- End a claim: its batch was handled, set aside, or goes back.
local FIVE_MINUTES = 300000
local MOST_FENCES = 10000

-- Held by this fence, settled by it before, or lost.
local function standing(keys, found, fence, now)
  if found.fence == fence then return 'held' end
  if remembered(keys.settled, string.format('%.0f', fence), now, FIVE_MINUTES) then return 'done' end
  return 'lost'
end

-- The holder is cleared; the batch stays.
local function let_go(keys, session, found)
  redis.call('ZREM', keys.leased, session.digest)
  if found.token then redis.call('HDEL', keys.holders, found.token) end
  redis.call('HDEL', session.hash, 'fence', 'token', 'worker')
  found.fence, found.token = nil, nil
end

local function settled(keys, found, now)
  remember(keys.settled, string.format('%.0f', found.fence), now, FIVE_MINUTES, MOST_FENCES)
end

-- The batch may be tried again at retry_at.
local function back_off(keys, session, found, retry_at, now)
  let_go(keys, session, found)
  found.retry_at = retry_at
  redis.call('HSET', session.hash, 'retry_at', retry_at, 'attempt', found.attempt)
  return arm(keys, session, found, now)
end

-- The batch is over; the next one may come.
local function close_batch(keys, session, found, now)
  let_go(keys, session, found)
  redis.call('UNLINK', session.batch)
  redis.call('HDEL', session.hash, 'batch', 'kind', 'attempt', 'retry_at', 'max_attempts', 'on_exhausted')
  found.batch, found.retry_at = nil, nil
  return arm(keys, session, found, now)
end

-- Set the batch aside under its own id; the oldest dead letters make room.
local function bury(keys, session, found, now, reason, traceback, most)
  local letter = dead_keys(keys.prefix, found.batch)
  redis.call('HINCRBY', keys.counts, 'dead', redis.call('LLEN', session.batch))
  redis.call('RENAME', session.batch, letter.batch)
  redis.call('HSET', letter.info, 'session', found.name, 'kind', found.kind, 'attempts', found.attempt, 'at', now,
    'reason', reason, 'traceback', traceback)
  redis.call('ZADD', keys.dead, now, found.batch)
  local evicted = {}
  while redis.call('ZCARD', keys.dead) > most do
    local oldest = dead_keys(keys.prefix, redis.call('ZPOPMIN', keys.dead)[1])
    table.insert(evicted, string.sub(oldest.info, #keys.prefix + #':dead-info:' + 1))
    redis.call('HINCRBY', keys.counts, 'dead_evicted', redis.call('LLEN', oldest.batch))
    redis.call('UNLINK', oldest.batch, oldest.info)
  end
  close_batch(keys, session, found, now)
  return evicted
end
