-- Take the longest-due session of a partition and its batch.
local LOOK_AT = 100

-- A line with the name last, for it may hold spaces; then the elements' sizes and the elements as one text each: a reply
-- of many parts is slow to read.
local function reply(session, found)
  local elements, sizes = found.elements or redis.call('LRANGE', session.batch, 0, -1), {}
  for number, element in ipairs(elements) do sizes[number] = #element end
  local line = string.format('%s %.0f %.0f %s %s %.0f %.0f ', session.digest, found.fence, found.attempt, found.batch,
    found.kind, found.due_at, found.claimed_at)
  return { line .. found.name, table.concat(sizes, ' '), table.concat(elements) }
end

-- Move all that waits, when it is one batch of messages as it mostly is. Replies how many; nil when it has to be cut.
local function take_all(session, found, terms)
  local count = redis.call('LLEN', session.waiting)
  if terms.kind ~= 'm' or found.bytes > terms.max_bytes or count > terms.max_batch or count == 0 then return nil end
  local elements, bytes, first_key = redis.call('LRANGE', session.waiting, 0, -1), 0, nil
  for _, element in ipairs(elements) do
    local kind, flags, _, size, key = header_words(element)
    first_key = first_key or key
    if kind ~= 'm' or key ~= first_key or string.find(flags or '', 'i', 1, true) then return nil end
    bytes = bytes + size
  end
  if bytes > terms.max_bytes and count > 1 then return nil end
  redis.call('RENAME', session.waiting, session.batch)
  found.kind, found.elements = 'm', elements
  return count
end

-- Move the oldest messages from waiting to batch until a limit, a command or another key. Replies how many, and
-- whether an element that a later version wrote stands at the head.
local function cut(keys, session, found, terms, key)
  local moved, bytes = 0, 0
  for _ = 1, terms.max_batch + LOOK_AT do
    local element = redis.call('LINDEX', session.waiting, 0)
    if not element or moved >= terms.max_batch then break end
    local head = header(element)
    if head == 'newer' then
      if moved == 0 then
        redis.call('HINCRBY', keys.counts, 'newer', 1)
        return 0, true
      end
      break
    elseif head == 'corrupt' then
      set_aside(keys, element)
      redis.call('LPOP', session.waiting)
    else
      if moved == 0 and head.kind ~= terms.kind then break end
      if key and head.key ~= key then break end
      if moved > 0 and (head.kind == 'c' or bytes + head.size > terms.max_bytes) then break end
      redis.call('LMOVE', session.waiting, session.batch, 'LEFT', 'RIGHT')
      moved, bytes, key = moved + 1, bytes + head.size, head.key
      found.kind, found.isolated = head.kind, head.isolated
      if head.kind == 'c' then break end
    end
  end
  found.bytes = found.bytes - bytes
  found.flush = math.max(found.flush - moved, 0)
  return moved, false
end

-- Describe what stayed behind, for the moves that arm the session later.
local function leave(session, found, terms)
  local count = redis.call('LLEN', session.waiting)
  if count == 0 then
    found.bytes, found.flush, found.closed, found.active, found.key, found.head = 0, 0, false, false, '-', 'm'
  else
    look(session, found, count, terms.max_batch, terms.max_bytes)
    local first = header(redis.call('LINDEX', session.waiting, 0))
    if type(first) == 'table' then found.deadline_at = first.at + found.max_wait end
  end
  save_waiting(session, found)
end

-- Count in the narrowest bucket that holds the value.
local LATENESS = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 60000 } -- ms
local SIZES = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 } -- messages

local function observe(keys, name, bounds, value)
  for _, bound in ipairs(bounds) do
    if value <= bound then
      redis.call('HINCRBY', keys.counts, name .. '_' .. bound, 1)
      return
    end
  end
  redis.call('HINCRBY', keys.counts, name .. '_more', 1)
end

local function hold(keys, session, found, due, now, terms)
  found.due_at, found.claimed_at = due, now
  found.fence = math.max(tonumber(redis.call('GET', keys.fence) or 0) + 1, now)
  found.attempt = (found.attempt or 0) + 1
  if not found.batch then
    local fresh = keys.partition .. '-' .. string.format('%.0f', found.fence)
    found.batch = found.isolated and header(redis.call('LINDEX', session.batch, 0)).key or fresh
    observe(keys, 'lateness', LATENESS, now - due)
    observe(keys, 'size', SIZES, redis.call('LLEN', session.batch))
  end
  local max_attempts, on_exhausted = terms.max_attempts, terms.on_exhausted
  -- Named after the batch it was part of: it has had its attempts.
  if string.find(found.batch, '/', 1, true) then max_attempts, on_exhausted = 1, 'park' end
  redis.call('SET', keys.fence, string.format('%.0f', found.fence))
  redis.call('HSET', session.hash, 'batch', found.batch, 'kind', found.kind, 'attempt', found.attempt, 'fence', found.fence,
    'token', terms.token, 'due_at', due, 'claimed_at', now, 'worker', terms.worker, 'max_attempts', max_attempts,
    'on_exhausted', on_exhausted, 'on_cancel', terms.on_cancel)
  redis.call('HDEL', session.hash, 'retry_at')
  redis.call('ZREM', keys.due, session.digest)
  redis.call('ZADD', keys.leased, now + terms.lease, session.digest)
  redis.call('HSET', keys.holders, terms.token, session.digest)
  if terms.min_interval > 0 and found.kind == 'm' then
    redis.call('SET', session.rest, now + terms.min_interval, 'PX', terms.min_interval)
  end
  return reply(session, found)
end

local function take(keys, digest, due, now, terms)
  local session = session_keys(keys.prefix, digest)
  if is_damaged(session) then
    stop_damaged(keys, session)
    return false
  end
  local found = load(session)
  if not found.name then
    redis.call('ZREM', keys.due, digest)
  elseif found.batch then
    if found.kind == terms.kind then return hold(keys, session, found, due, now, terms) end
  elseif found.head == terms.kind then
    local moved, newer = take_all(session, found, terms), false
    if not moved then moved, newer = cut(keys, session, found, terms, nil) end
    leave(session, found, terms)
    if moved > 0 then return hold(keys, session, found, due, now, terms) end
    arm(keys, session, found, now)
    if newer then redis.call('ZADD', keys.due, now + terms.lease, digest) end
  end
  return false
end

local function claim_next(keys, now, terms)
  local held = redis.call('HGET', keys.holders, terms.token)
  if held then
    local session = session_keys(keys.prefix, held)
    return reply(session, load(session))
  end
  if redis.call('ZSCORE', keys.stopping, terms.worker) then return false end
  -- Mostly the first will do; a hundred are slow to read.
  local first = redis.call('ZRANGEBYSCORE', keys.due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then return false end
  local claimed = take(keys, first[1], first[2], now, terms)
  if claimed then return claimed end
  local due = redis.call('ZRANGEBYSCORE', keys.due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, LOOK_AT)
  for i = 1, #due, 2 do
    claimed = due[i] ~= first[1] and take(keys, due[i], due[i + 1], now, terms)
    if claimed then return claimed end
  end
  return false
end
