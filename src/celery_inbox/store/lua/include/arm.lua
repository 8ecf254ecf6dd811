-- Put a session that nobody holds where it belongs: in one set, or nowhere.

-- Tell the dispatchers when something is due before they would look.
local function wake(keys, at, now)
  local wake_at = tonumber(redis.call('HGET', keys.state, 'wake_at'))
  if wake_at and wake_at <= at and wake_at >= now then return end
  redis.call('HSET', keys.state, 'wake_at', at)
  redis.call('PUBLISH', keys.wake, keys.partition .. ' ' .. string.format('%.0f', math.max(at - now, 0)))
end

-- Due now stays due until claimed: a later message does not send the session to the back of the line.
local function arm(keys, session, found, now)
  local at = due_at(session, found, redis.call('LLEN', session.waiting), now)
  if not at then
    redis.call('ZREM', keys.due, session.digest)
    redis.call('UNLINK', session.hash)
    return nil
  end
  local due = tonumber(redis.call('ZSCORE', keys.due, session.digest))
  if due and due <= now then return due end
  redis.call('ZADD', keys.due, at, session.digest)
  wake(keys, at, now)
  return at
end
