-- Read a page of a session without changing it.
-- Reply: {{field, value...}, due_at or false, lease end or false, stop's end or false, waiting, open, {open batch element...},
-- {waiting element...}}; elements end early when they are many bytes.
-- Uses: keys, page.
local keys       = partition_keys(KEYS[1])  -- partition
local session    = session_keys(KEYS[1], ARGV[1]) -- digest
local first      = tonumber(ARGV[2])        -- index into the waiting list
local last       = tonumber(ARGV[3])        -- index into the waiting list; -1 for its end
local first_open = tonumber(ARGV[4])        -- index into the open batch

local waiting, open = redis.call('LLEN', session.waiting), redis.call('LLEN', session.batch)
local batch, room = read_page(session.batch, first_open, open - 1, PAGE_BYTES)
local elements = read_page(session.waiting, first, last < 0 and waiting + last or last, room)
return {
  redis.call('HGETALL', session.hash), redis.call('ZSCORE', keys.due, session.digest),
  redis.call('ZSCORE', keys.leased, session.digest), redis.call('ZSCORE', keys.stopped, session.digest),
  waiting, open, batch, elements,
}
