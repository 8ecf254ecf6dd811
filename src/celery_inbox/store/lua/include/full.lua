-- How every script but send begins: a partition whose sessions are being moved is left alone, a full server is written to.

-- Known to store/connection.py.
local MOVING = 'CELERY_INBOX_MOVING'
local MOVED = 'CELERY_INBOX_MOVED '

-- A server at its memory limit lets a script write on once it has made a write that frees memory.
local function write_when_full(keys)
  redis.call('ZREM', keys.kicks or keys.workers, '')
end

-- A session is refused that another partition has by now: the caller knows an old number of partitions.
local function work_when_full(keys, session)
  local layout = keys.state and tonumber(redis.call('HGET', keys.state, 'layout'))
  if layout == 0 then error(MOVING) end
  if layout and session and not at_home(keys, session.digest, layout) then error(MOVED .. layout) end
  write_when_full(keys)
end
