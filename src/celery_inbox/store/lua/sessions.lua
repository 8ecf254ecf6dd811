-- List a page of the partition's sessions, the longest due first, then the running, then the stopped.
-- Reply: {{digest, session, state, at, waiting, open batch size, attempt}...}.
-- Uses: keys, session.
local keys  = partition_keys(KEYS[1])  -- partition
local first = tonumber(ARGV[1])        -- index
local most  = tonumber(ARGV[2])        -- sessions

local listed = {}
for _, set in ipairs({ { 'due', keys.due }, { 'running', keys.leased }, { 'stopped', keys.stopped } }) do
  local state, key = set[1], set[2]
  local size = redis.call('ZCARD', key)
  if first < size and most > 0 then
    local page = redis.call('ZRANGE', key, first, first + most - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      local session = session_keys(KEYS[1], page[i])
      local said, waiting, open = {}, 0, 0
      if not is_damaged(session) then
        said = redis.call('HMGET', session.hash, 'name', 'attempt')
        waiting, open = redis.call('LLEN', session.waiting), redis.call('LLEN', session.batch)
      end
      table.insert(listed, { page[i], said[1] or '', state, page[i + 1], waiting, open, said[2] or '0' })
      most = most - 1
    end
    first = 0
  else
    first = math.max(first - size, 0)
  end
end
return listed
