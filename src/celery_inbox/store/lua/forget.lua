-- Delete everything about a session: messages, a running batch, dead letters, remembered ids, marks.
-- Reply: {messages, messages in dead letters, where another call goes on or -1 when all is done}.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys   = partition_keys(KEYS[1])  -- partition
local now    = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local wanted = ARGV[2]                  -- session name
local digest = ARGV[3]                  -- of the session; '' for the commands that were sent to it
local since  = tonumber(ARGV[4])        -- ms, of the dead letters that are still to be looked at; 0 to begin

local MOST_COMMANDS = 50
local MOST_LETTERS = 500
local AFTER_ALL_NAMES = '~'

work_when_full(keys, digest ~= '' and { digest = digest })
local removed, dead = 0, 0

local function forget(each)
  local session = session_keys(KEYS[1], each)
  if is_damaged(session) then
    stop_damaged(keys, session)
    redis.call('ZREM', keys.stopped, each)
    redis.call('UNLINK', session.hash, session.waiting, session.batch, session.ids, session.window, session.rest, session.pause)
    return
  end
  local found = load(session)
  removed = removed + redis.call('LLEN', session.waiting) + redis.call('LLEN', session.batch)
  redis.call('UNLINK', session.waiting, session.ids, session.window, session.rest, session.pause)
  if found.name then close_batch(keys, session, found, now) end
end

local function forget_letter(id)
  local letter = dead_keys(KEYS[1], id)
  if redis.call('HGET', letter.info, 'session') ~= wanted then return end
  dead = dead + redis.call('LLEN', letter.batch)
  redis.call('ZREM', keys.dead, id)
  redis.call('UNLINK', letter.batch, letter.info)
end

local function forget_commands()
  local name = redis.sha1hex(wanted)
  local found = redis.call('ZRANGEBYLEX', keys.names, '[' .. name, '[' .. name .. AFTER_ALL_NAMES, 'LIMIT', 0, MOST_COMMANDS)
  for _, each in ipairs(found) do forget(string.sub(each, #name + 1)) end
  return #found == MOST_COMMANDS
end

-- Dead letters that are added meanwhile are of later messages.
local function forget_letters()
  local page = redis.call('ZRANGEBYSCORE', keys.dead, since, '+inf', 'WITHSCORES', 'LIMIT', 0, MOST_LETTERS)
  for i = 1, #page, 2 do forget_letter(page[i]) end
  if #page < 2 * MOST_LETTERS then return -1 end
  local last = tonumber(page[#page])
  if last > since then return last end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.dead, since, since)) do forget_letter(id) end
  return since + 1
end

local following = 0
if since == 0 and digest ~= '' then forget(digest) end
if since > 0 or digest ~= '' or not forget_commands() then following = forget_letters() end
if removed > 0 then redis.call('HINCRBY', keys.counts, 'removed', removed) end
return { removed, dead, following }
