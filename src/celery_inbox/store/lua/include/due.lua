-- When a session's next batch may start: section 4's one due function.

-- Would these messages be cut here, whatever comes later? The head batch is still open only while everything that waits
-- belongs to it, so totals and heads tell.
local function look(session, found, count, max_batch, max_bytes)
  found.closed, found.active, found.key, found.head = false, false, '-', 'm'
  local first = header(redis.call('LINDEX', session.waiting, 0))
  if type(first) == 'string' then
    found.closed = true
    return
  end
  found.key, found.head = first.key, first.kind
  if first.kind == 'c' or first.redriven or first.isolated or count >= max_batch or found.bytes >= max_bytes then
    found.closed = true
    return
  end
  for _, element in ipairs(redis.call('LRANGE', session.waiting, 0, -1)) do
    local each = header(element)
    if type(each) == 'string' or each.kind == 'c' or each.key ~= first.key then
      found.closed = true
      return
    end
    found.active = found.active or each.active
  end
end

local function due_at(session, found, count, now)
  if found.batch then return found.retry_at end
  if count == 0 then return nil end
  local at = found.deadline_at
  if found.closed or found.flush > 0 then
    at = now
  elseif found.active then
    at = math.min(found.active_at + found.debounce, found.deadline_at)
  end
  if found.head ~= 'c' then at = math.max(at, tonumber(redis.call('GET', session.rest) or 0)) end
  return at
end
