-- End a claim: its batch was handled, set aside, or goes back.
local FIVE_MINUTES = 300000
local MOST_FENCES = 10000
local MOST_EVICTED = 100

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
  redis.call('HDEL', session.hash, 'fence', 'token', 'worker', 'cancel')
  found.fence, found.token = nil, nil
end

-- The end of a held batch behind which nothing waits, as most end: nothing of the session stays but marks.
local function close_last(keys, session, found)
  redis.call('ZREM', keys.leased, session.digest)
  redis.call('ZREM', keys.stopped, session.digest)
  redis.call('HDEL', keys.holders, found.token)
  redis.call('UNLINK', session.batch, session.hash)
  strike(keys, session, found.name)
end

local function settled(keys, found, now)
  remember(keys.settled, string.format('%.0f', found.fence), now, FIVE_MINUTES, MOST_FENCES)
end

-- The batch may be tried again at retry_at.
local function back_off(keys, session, found, retry_at, now)
  let_go(keys, session, found)
  found.retry_at = retry_at
  redis.call('HSET', session.hash, 'retry_at', retry_at, 'attempt', found.attempt)
  arm(keys, session, found, now)
end

-- The batch is over; the next one may come.
local function close_batch(keys, session, found, now)
  let_go(keys, session, found)
  redis.call('UNLINK', session.batch)
  redis.call('HDEL', session.hash, 'batch', 'kind', 'attempt', 'retry_at', 'max_attempts', 'on_exhausted', 'on_cancel', 'held')
  found.batch, found.retry_at, found.held = nil, nil, false
  arm(keys, session, found, now)
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
  while redis.call('ZCARD', keys.dead) > most and #evicted < MOST_EVICTED do
    local oldest = dead_keys(keys.prefix, redis.call('ZPOPMIN', keys.dead)[1])
    table.insert(evicted, string.sub(oldest.info, #keys.prefix + #':dead-info:' + 1))
    redis.call('HINCRBY', keys.counts, 'dead_evicted', redis.call('LLEN', oldest.batch))
    redis.call('UNLINK', oldest.batch, oldest.info)
  end
  close_batch(keys, session, found, now)
  return evicted
end

-- Put the messages of the batch back in front of those that wait: isolated, each under a number, or as they were.
local function put_back(session, found, isolated)
  local count = redis.call('LLEN', session.batch)
  for number = count, 1, -1 do
    local element = redis.call('LMOVE', session.batch, session.waiting, 'RIGHT', 'LEFT')
    local head = header(element)
    if isolated then
      redis.call('LSET', session.waiting, 0, marked(element, head, 'i', found.batch .. '/' .. number))
    elseif head.isolated then
      redis.call('LSET', session.waiting, 0, marked(element, head, '', head.key))
    end
    found.bytes = found.bytes + head.size
  end
  if found.flush > 0 then found.flush = found.flush + count end
end

-- The last attempt has failed: set the batch aside, stop the session, or try the messages one by one.
-- Replies dead, held or isolated, the batch id, and the dead letters that made room.
local function exhaust(keys, session, found, now, reason, traceback, most)
  local id = found.batch
  if found.on_exhausted == 'hold' then
    found.held = true
    redis.call('HSET', session.hash, 'held', '1')
    back_off(keys, session, found, now, now)
    return 'held', id, {}
  end
  if found.on_exhausted == 'isolate' and redis.call('LLEN', session.batch) > 1 then
    put_back(session, found, true)
    found.closed, found.key, found.head = true, id .. '/1', 'm'
    save_waiting(session, found)
    close_batch(keys, session, found, now)
    return 'isolated', id, {}
  end
  return 'dead', id, bury(keys, session, found, now, reason, traceback, most)
end

-- Settle a batch that was cancelled: it counts as done, or its messages wait again as if they had just come.
local function settle_cancelled(keys, session, found, now, terms)
  if found.on_cancel == 'rejoin' then
    put_back(session, found, false)
    local count = redis.call('LLEN', session.waiting)
    -- Quarantine may have taken every message of the batch.
    if count > 0 then look(session, found, count, terms.max_batch, terms.max_bytes) end
    found.active_at, found.deadline_at = now, now + found.max_wait
    save_waiting(session, found)
  else
    redis.call('HINCRBY', keys.counts, 'cancelled', redis.call('LLEN', session.batch))
  end
  close_batch(keys, session, found, now)
end
