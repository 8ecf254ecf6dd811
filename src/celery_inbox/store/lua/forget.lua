-- Delete everything about a session: messages, a running batch, dead letters, remembered ids, marks.
-- Reply: {messages, messages in dead letters}.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local wanted  = ARGV[2]                  -- session name
local digest  = ARGV[3]                  -- of the session; '' to look through the partition for it

work_when_full(keys)
local removed, dead = 0, 0

local function forget(each)
  local session = session_keys(KEYS[1], each)
  local found = load(session)
  removed = removed + redis.call('LLEN', session.waiting) + redis.call('LLEN', session.batch)
  redis.call('UNLINK', session.waiting, session.ids, session.window, session.rest, session.pause)
  if found.name then close_batch(keys, session, found, now) end
end

if digest ~= '' then
  forget(digest)
else
  for _, set in ipairs({ keys.due, keys.leased, keys.stopped }) do
    for _, each in ipairs(redis.call('ZRANGE', set, 0, -1)) do
      if redis.call('HGET', session_keys(KEYS[1], each).hash, 'name') == wanted then forget(each) end
    end
  end
end
for _, id in ipairs(redis.call('ZRANGE', keys.dead, 0, -1)) do
  local letter = dead_keys(KEYS[1], id)
  if redis.call('HGET', letter.info, 'session') == wanted then
    dead = dead + redis.call('LLEN', letter.batch)
    redis.call('ZREM', keys.dead, id)
    redis.call('UNLINK', letter.batch, letter.info)
  end
end
if removed > 0 then redis.call('HINCRBY', keys.counts, 'removed', removed) end
return { removed, dead }
