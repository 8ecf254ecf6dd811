-- Find a waiting message by its id.
local PAGE = 100

local function find(session, id)
  local index = 0
  while true do
    local page = redis.call('LRANGE', session.waiting, index, index + PAGE - 1)
    for number, element in ipairs(page) do
      local head = header(element)
      if type(head) == 'table' and head.id == id then return index + number - 1, head end
    end
    if #page < PAGE then return nil end
    index = index + PAGE
  end
end

-- What stays waits as it did: what was closed stays closed, and no batch becomes later.
local function settle_edit(keys, session, found, now, max_batch, max_bytes)
  local closed, count = found.closed, redis.call('LLEN', session.waiting)
  if count > 0 then look(session, found, count, max_batch, max_bytes) end
  found.closed = found.closed or closed
  found.flush = math.min(found.flush, count)
  save_waiting(session, found)
  if not found.batch and not redis.call('ZSCORE', keys.stopped, session.digest) then
    arm_no_later(keys, session, found, now)
  elseif not found.batch and count == 0 then
    arm(keys, session, found, now)
  end
end
