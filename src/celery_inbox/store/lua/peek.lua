-- Read a page of a session without changing it.
-- Reply: {{field, value...}, due_at or false, lease end or false, stop's end or false, waiting, {open batch element...}, {waiting element...}}.
-- Uses: keys.
local keys    = partition_keys(KEYS[1])  -- partition
local session = session_keys(KEYS[1], ARGV[1]) -- digest
local first   = tonumber(ARGV[2])        -- index into the waiting list
local last    = tonumber(ARGV[3])        -- index into the waiting list

return {
  redis.call('HGETALL', session.hash), redis.call('ZSCORE', keys.due, session.digest),
  redis.call('ZSCORE', keys.leased, session.digest), redis.call('ZSCORE', keys.stopped, session.digest),
  redis.call('LLEN', session.waiting),
  redis.call('LRANGE', session.batch, 0, -1), redis.call('LRANGE', session.waiting, first, last),
}
