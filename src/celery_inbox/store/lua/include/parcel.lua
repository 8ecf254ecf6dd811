-- What travels as one when sessions get other partitions: a session, or a dead letter.
local NOT_FROZEN = 'CELERY_INBOX_NOT_FROZEN'

-- A mover that was overtaken by another must not bring back what was handled since.
local function only_for(keys, ticket)
  if redis.call('HGET', keys.state, 'ticket') ~= ticket then error(NOT_FROZEN) end
end

-- The sets it is in, and its keys.
local function parcel(keys, kind, name)
  if kind == 'letter' then
    local letter = dead_keys(keys.prefix, name)
    return { keys.dead }, { letter.batch, letter.info }
  end
  local session = session_keys(keys.prefix, name)
  return { keys.due, keys.stopped },
    { session.hash, session.waiting, session.batch, session.ids, session.window, session.rest, session.pause }
end
