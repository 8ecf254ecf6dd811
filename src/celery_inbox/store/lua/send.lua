-- Store messages, each at the end of its session.
-- Reply: a line per message, for one text is cheaper to read than many: status, waiting, waiting bytes, due_at or -, then
-- dropped ids; status is accepted, duplicate, ignored, full or moved.
-- Uses: clock, keys, element, session, due, arm, remember.
local keys  = partition_keys(KEYS[1]) -- partition
local now   = now_ms(ARGV[1])         -- ms, or '' for Redis's clock
local terms = ARGV[2]                 -- the inbox's limits, read below
local FIRST = 3                       -- ARGV[3...]: what the caller says of a message, its payload; of each message

local GENERATED_TTL = 60000
local MOST_GENERATED = 10000
local READ_AT_ONCE = 64

local words = {}
for word in string.gmatch(terms, '%S+') do table.insert(words, tonumber(word)) end
local max_batch, max_bytes, max_pending, max_pending_bytes = words[1], words[2], words[3], words[4]
local drop_oldest = words[5] == 1
local active_window = words[6] -- ms, or -1 for none
local dedup_ttl, max_ids = words[7], words[8] -- ms, count
local layout = words[9] -- number of partitions that the caller knows

-- What the caller says of a message, one word each: digest, id, batch key, was the id generated, kind, flags, flush, debounce
-- and max_wait in ms; the session's name comes last, for it may hold spaces.
local function read_form(said)
  local digest, id, key, generated, kind, flags, flush, debounce, max_wait, name =
    string.match(said, '^(%S+) (%S+) (%S+) ([01]) ([mc]) (%S+) ([01]) (%d+) (%d+) (.+)$')
  return {
    digest = digest, id = id, name = name, generated = generated == '1', kind = kind, flags = flags, key = key,
    active = string.find(flags, 'a', 1, true) ~= nil, flush = flush == '1',
    debounce = tonumber(debounce), max_wait = tonumber(max_wait),
  }
end

local function answer(session, status, count, bytes, dropped)
  local due = redis.call('ZSCORE', keys.due, session.digest) or '-'
  return status .. ' ' .. count .. ' ' .. bytes .. ' ' .. due .. (dropped or '')
end

-- A caller that sends again by itself passes the generated id that the error carries.
local function seen(session, form)
  if remembered(keys.generated, form.digest .. form.id, now, GENERATED_TTL) then return true end
  return not form.generated and remembered(session.ids, form.id, now, dedup_ttl)
end

local function keep_in_mind(session, form)
  if form.active and active_window > 0 then redis.call('SET', session.window, now, 'PX', active_window) end
  if form.generated then
    remember(keys.generated, form.digest .. form.id, now, GENERATED_TTL, MOST_GENERATED)
  else
    local evicted = remember(session.ids, form.id, now, dedup_ttl, max_ids)
    if evicted > 0 then redis.call('HINCRBY', keys.counts, 'ids_evicted', evicted) end
  end
end

local function outside_window(session, form)
  if active_window < 0 or form.active then return false end
  local opened_at = tonumber(redis.call('GET', session.window))
  return not opened_at or now - opened_at > active_window
end

-- Make room by dropping the oldest messages. Replies how many, their bytes and their ids; nil when there is no room to make.
local function make_room(session, found, count, size)
  local dropping, freed, ids = 0, 0, { '' }
  local read, first, step = {}, 0, 1
  while count - dropping + 1 > max_pending or found.bytes - freed + size > max_pending_bytes do
    if drop_oldest and dropping == first + #read then
      first, read = dropping, redis.call('LRANGE', session.waiting, dropping, dropping + step - 1)
      step = math.min(step * 4, READ_AT_ONCE)
    end
    local oldest = read[dropping - first + 1]
    local head = oldest and header(oldest)
    if type(head) ~= 'table' or head.kind == 'c' then return nil end
    dropping, freed = dropping + 1, freed + head.size
    table.insert(ids, head.id)
  end
  if dropping > 0 then
    redis.call('LTRIM', session.waiting, dropping, -1)
    redis.call('HINCRBY', keys.counts, 'dropped', dropping)
    local head = header(redis.call('LINDEX', session.waiting, 0) or '')
    if type(head) == 'table' then found.key, found.head = head.key, head.kind end
  end
  return dropping, freed, table.concat(ids, ' ')
end

local function accept(form, payload)
  local session = session_keys(KEYS[1], form.digest)
  local found, size = load(session), #payload
  local count = redis.call('LLEN', session.waiting)
  if seen(session, form) then return answer(session, 'duplicate', count, found.bytes) end
  if outside_window(session, form) then return answer(session, 'ignored', count, found.bytes) end
  local dropped, freed, ids = make_room(session, found, count, size)
  if not dropped then return answer(session, 'full', count, found.bytes) end
  count, found.bytes, found.flush = count - dropped, found.bytes - freed, math.max(found.flush - dropped, 0)

  redis.call('RPUSH', session.waiting, pack(form.kind, form.flags, now, size, form.key, form.id, payload))
  redis.call('HINCRBY', keys.counts, 'accepted', 1)
  keep_in_mind(session, form)

  if count == 0 then
    found.key, found.head = form.key, form.kind
    -- A batch whose messages were dropped was waiting already: the newcomer is not later than they were.
    if dropped == 0 then found.deadline_at, found.active, found.closed = now + form.max_wait, false, false end
  end
  count = count + 1
  found.bytes = found.bytes + size
  found.debounce = form.debounce
  found.active = found.active or form.active
  if form.active then found.active_at = now end
  if form.flush then found.flush = count end
  found.closed = found.closed or form.kind == 'c' or form.key ~= found.key or count >= max_batch or found.bytes >= max_bytes
  if not found.name then enrol(keys, session, form.name) end
  redis.call('HSET', session.hash, 'name', form.name, 'debounce', form.debounce, 'max_wait', form.max_wait)
  save_waiting(session, found)
  if not found.batch and not redis.call('ZSCORE', keys.stopped, session.digest) then arm(keys, session, found, now) end
  return answer(session, 'accepted', count, found.bytes, ids)
end

local recorded = tonumber(redis.call('HGET', keys.state, 'layout'))
local replies = {}
for i = FIRST, #ARGV, 2 do
  if recorded and recorded ~= layout then
    table.insert(replies, 'moved ' .. recorded .. ' 0 -')
  else
    table.insert(replies, accept(read_form(ARGV[i]), ARGV[i + 1]))
  end
end
return table.concat(replies, '\n')
