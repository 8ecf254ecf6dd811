-- Put a session that nobody holds where it belongs: in one set, or nowhere.

local LATE = 100 -- ms

-- Tell the dispatchers when something is due before they would look. A look that is a little late is on its way: a
-- busy dispatcher told by every send would be busier still.
local function wake(keys, at, now)
  local wake_at = tonumber(redis.call('HGET', keys.state, 'wake_at'))
  if wake_at and wake_at <= at and wake_at >= now - LATE then return end
  redis.call('HSET', keys.state, 'wake_at', at)
  redis.call('PUBLISH', keys.wake, keys.partition .. ' ' .. string.format('%.0f', math.max(at - now, 0)))
end

local NEVER = 9000000000000000

-- When the session's stop ends, if it is paused or held.
local function stopped_until(session, found, now)
  if found.held then return NEVER end
  local until_at = tonumber(redis.call('GET', session.pause))
  if until_at == 0 then return NEVER end
  return until_at and until_at > now and until_at or nil
end

-- A jump command is a session of its own; the name of the session that it was sent to finds it.
local function enrol(keys, session, name)
  if keys.partition == 'command' then redis.call('ZADD', keys.names, 0, redis.sha1hex(name) .. session.digest) end
end

local function strike(keys, session, name)
  if keys.partition == 'command' then redis.call('ZREM', keys.names, redis.sha1hex(name) .. session.digest) end
end

-- Due now stays due until claimed: a later message does not send the session to the back of the line.
local function arm(keys, session, found, now)
  local at = due_at(session, found, redis.call('LLEN', session.waiting), now)
  if not at then
    redis.call('ZREM', keys.due, session.digest)
    redis.call('ZREM', keys.stopped, session.digest)
    redis.call('UNLINK', session.hash)
    strike(keys, session, found.name)
    return nil
  end
  local stop_ends_at = stopped_until(session, found, now)
  if stop_ends_at then
    redis.call('ZREM', keys.due, session.digest)
    redis.call('ZADD', keys.stopped, stop_ends_at, session.digest)
    wake(keys, stop_ends_at, now)
    return nil
  end
  local due = tonumber(redis.call('ZSCORE', keys.due, session.digest))
  if due and due <= now then return due end
  redis.call('ZREM', keys.stopped, session.digest)
  redis.call('ZADD', keys.due, at, session.digest)
  wake(keys, at, now)
  return at
end

-- Dropping, removing or replacing never makes a batch later.
local function arm_no_later(keys, session, found, now)
  local was = tonumber(redis.call('ZSCORE', keys.due, session.digest))
  local at = arm(keys, session, found, now)
  if not was or not at or was >= at then return at end
  redis.call('ZADD', keys.due, was, session.digest)
  wake(keys, was, now)
  return was
end

-- A stop has ended: where the session belongs is for its messages to say.
local function start_again(keys, session, found, now)
  if found.name and not found.fence then arm(keys, session, found, now) end
end

-- A session that no move can read must not stop its neighbours: nobody holds it, and it waits for somebody to look.
local function stop_damaged(keys, session)
  if is_of(session.hash, 'hash') then
    redis.call('HDEL', keys.holders, redis.call('HGET', session.hash, 'token') or '')
    redis.call('HDEL', session.hash, 'fence', 'token', 'worker', 'cancel')
  end
  redis.call('ZREM', keys.due, session.digest)
  redis.call('ZREM', keys.leased, session.digest)
  redis.call('ZADD', keys.stopped, NEVER, session.digest)
end
