-- Bring a dead letter back to the end of its session, as a batch of its own.
-- Reply: messages brought back; 0 when there is no such dead letter.
-- Uses: clock, keys, element, session, due, arm, full.
local keys      = partition_keys(KEYS[1])  -- partition
local now       = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local id        = ARGV[2]                  -- dead letter id
local session   = session_keys(KEYS[1], ARGV[3]) -- digest
local debounce  = tonumber(ARGV[4])        -- ms
local max_wait  = tonumber(ARGV[5])        -- ms
local max_batch = tonumber(ARGV[6])
local max_bytes = tonumber(ARGV[7])

work_when_full(keys, session)
if redis.call('ZREM', keys.dead, id) == 0 then return 0 end
local letter = dead_keys(KEYS[1], id)
local name = redis.call('HGET', letter.info, 'session')
local found = load(session)
local was_empty = redis.call('LLEN', session.waiting) == 0
local brought = 0
while true do
  local element = redis.call('LPOP', letter.batch)
  if not element then break end
  local head = header(element)
  redis.call('RPUSH', session.waiting, marked(element, head, 'r', id))
  found.bytes = found.bytes + head.size
  brought = brought + 1
end
redis.call('UNLINK', letter.info)
redis.call('HINCRBY', keys.counts, 'dead', -brought)
if not found.name then
  redis.call('HSET', session.hash, 'name', name, 'debounce', debounce, 'max_wait', max_wait)
  enrol(keys, session, name)
end
found.debounce, found.max_wait = found.debounce or debounce, found.max_wait or max_wait
if was_empty then found.deadline_at = now end
look(session, found, redis.call('LLEN', session.waiting), max_batch, max_bytes)
save_waiting(session, found)
if not found.batch and not redis.call('ZSCORE', keys.stopped, session.digest) then arm(keys, session, found, now) end
return brought
