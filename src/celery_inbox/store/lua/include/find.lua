-- Find a waiting message by its id, from the newest to the oldest, for it is the newest that people edit.
local MOST_BYTES = 1048576
local MOST_AT_ONCE = 1000
local ELEMENT_COST = 100 -- bytes of a body that take as long to look at as an element does in itself

-- A search that takes long ends with a cursor from which another call goes on. It counts from the newest message, for what is
-- claimed meanwhile leaves at the other end; what is removed meanwhile moves older ones up, hence goes on from further down.
-- Replies the index and the header; or nil, nil and the cursor; or nothing.
local function find(keys, session, id, cursor)
  local removed = tonumber(redis.call('HGET', keys.counts, 'removed') or 0)
  local count = redis.call('LLEN', session.waiting)
  local last = count - 1 - math.max(cursor - removed, 0)
  local room, step = MOST_BYTES, 1
  while last >= 0 and room > 0 do
    local first = math.max(last - step + 1, 0)
    local read = redis.call('LRANGE', session.waiting, first, last)
    for number = #read, 1, -1 do
      if id_of(read[number]) == id then return first + number - 1, header(read[number]) end
      room = room - #read[number] - ELEMENT_COST
    end
    last = first - 1
    step = math.max(math.min(math.floor(room / (#read[1] + ELEMENT_COST)), MOST_AT_ONCE), 1)
  end
  if last >= 0 then return nil, nil, count - 1 - last + removed end
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
