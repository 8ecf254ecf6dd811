-- A session's hash as a table, and back.
local NUMBERS = { 'debounce', 'max_wait', 'active_at', 'deadline_at', 'flush', 'bytes', 'attempt', 'fence', 'retry_at', 'max_attempts', 'cancel' }

local function load(session)
  local raw = redis.call('HGETALL', session.hash)
  local found = {}
  for i = 1, #raw, 2 do found[raw[i]] = raw[i + 1] end
  for _, name in ipairs(NUMBERS) do found[name] = tonumber(found[name]) end
  found.closed = found.closed == '1'
  found.active = found.active == '1'
  found.held = found.held == '1'
  found.bytes = found.bytes or 0
  found.flush = found.flush or 0
  return found
end

local function is_of(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Did a foreign hand leave what no move can read?
local function is_damaged(session)
  return not (is_of(session.hash, 'hash') and is_of(session.waiting, 'list') and is_of(session.batch, 'list')
    and is_of(session.rest, 'string') and is_of(session.pause, 'string'))
end

-- What the waiting list looks like now.
local function save_waiting(session, found)
  redis.call('HSET', session.hash, 'active_at', found.active_at or 0, 'deadline_at', found.deadline_at or 0,
    'flush', found.flush, 'bytes', found.bytes, 'closed', found.closed and '1' or '0', 'active', found.active and '1' or '0',
    'key', found.key or '-', 'head', found.head or 'm')
end
