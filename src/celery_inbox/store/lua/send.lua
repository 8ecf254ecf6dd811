-- Store a message at the end of its session.
-- Reply: {status, waiting, waiting bytes, due_at or false, {dropped id...}}; status is accepted, duplicate, ignored, full or moved.
-- Uses: clock, keys, element, session, due, arm, remember.
local keys              = partition_keys(KEYS[1])  -- partition
local now               = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session           = session_keys(KEYS[1], ARGV[2]) -- digest
local name              = ARGV[3]                  -- session name
local id                = ARGV[4]                  -- percent-encoded
local generated         = ARGV[5] == '1'           -- the caller gave no id
local kind              = ARGV[6]                  -- m or c
local flags             = ARGV[7]                  -- as in the element header
local key               = ARGV[8]                  -- digest of the batch key, or -
local payload           = ARGV[9]
local flush             = ARGV[10] == '1'
local debounce          = tonumber(ARGV[11])       -- ms
local max_wait          = tonumber(ARGV[12])       -- ms
local max_batch         = tonumber(ARGV[13])
local max_bytes         = tonumber(ARGV[14])
local max_pending       = tonumber(ARGV[15])
local max_pending_bytes = tonumber(ARGV[16])
local drop_oldest       = ARGV[17] == '1'
local active_window     = tonumber(ARGV[18])       -- ms, or -1 for none
local dedup_ttl         = tonumber(ARGV[19])       -- ms
local max_ids           = tonumber(ARGV[20])
local layout            = ARGV[21]                 -- number of partitions that the caller knows

local GENERATED_TTL = 60000
local MOST_GENERATED = 10000

local size = #payload
local active = string.find(flags, 'a', 1, true) ~= nil
local recorded = redis.call('HGET', keys.state, 'layout')
if recorded and recorded ~= layout then return { 'moved', tonumber(recorded), 0, false, {} } end

local found = load(session)
local count = redis.call('LLEN', session.waiting)
local function answer(status, dropped)
  local due = redis.call('ZSCORE', keys.due, session.digest)
  return { status, count, found.bytes, due and tonumber(due), dropped or {} }
end

local seen
if generated then
  seen = remembered(keys.generated, id, now, GENERATED_TTL)
else
  seen = remembered(session.ids, id, now, dedup_ttl)
end
if seen then return answer('duplicate') end
if active_window >= 0 and not active then
  local opened_at = tonumber(redis.call('GET', session.window))
  if not opened_at or now - opened_at > active_window then return answer('ignored') end
end

local dropping, freed = {}, 0
while count - #dropping + 1 > max_pending or found.bytes - freed + size > max_pending_bytes do
  local oldest = drop_oldest and redis.call('LINDEX', session.waiting, #dropping)
  local head = oldest and header(oldest)
  if type(head) ~= 'table' or head.kind == 'c' then return answer('full') end
  table.insert(dropping, head.id)
  freed = freed + head.size
end
if #dropping > 0 then
  redis.call('LTRIM', session.waiting, #dropping, -1)
  redis.call('HINCRBY', keys.counts, 'dropped', #dropping)
  count, found.bytes, found.flush = count - #dropping, found.bytes - freed, math.max(found.flush - #dropping, 0)
end

redis.call('RPUSH', session.waiting, pack(kind, flags, now, size, key, id, payload))
redis.call('HINCRBY', keys.counts, 'accepted', 1)
local evicted
if generated then
  remember(keys.generated, id, now, GENERATED_TTL, MOST_GENERATED)
else
  evicted = remember(session.ids, id, now, dedup_ttl, max_ids)
end
if evicted and evicted > 0 then redis.call('HINCRBY', keys.counts, 'ids_evicted', evicted) end
if active and active_window > 0 then redis.call('SET', session.window, now, 'PX', active_window) end

if count == 0 and #dropping == 0 then
  found.deadline_at, found.key, found.head, found.active, found.closed = now + max_wait, key, kind, false, false
elseif count == 0 then
  found.key, found.head = key, kind
end
count = count + 1
found.bytes = found.bytes + size
found.debounce = debounce
found.active = found.active or active
if active then found.active_at = now end
if flush then found.flush = count end
found.closed = found.closed or kind == 'c' or key ~= found.key or count >= max_batch or found.bytes >= max_bytes
if not found.name then redis.call('HSET', session.hash, 'name', name) end
redis.call('HSET', session.hash, 'debounce', debounce, 'max_wait', max_wait)
save_waiting(session, found)
if not found.batch and not redis.call('ZSCORE', keys.stopped, session.digest) then arm(keys, session, found, now) end
return answer('accepted', dropping)
