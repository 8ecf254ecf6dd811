-- Let what arrived meanwhile join the running batch, up to a command, another key, or ten times a batch.
-- Reply: {element...} that the caller does not know yet; false when the lease is lost.
-- Uses: keys, element, session, due, arm, full, aside, claim.
local keys      = partition_keys(KEYS[1])  -- partition
local session   = session_keys(KEYS[1], ARGV[1]) -- digest
local fence     = tonumber(ARGV[2])        -- of the claim
local known     = tonumber(ARGV[3])        -- messages of the batch that the caller has
local max_batch = tonumber(ARGV[4])
local max_bytes = tonumber(ARGV[5])

local MOST_BATCHES = 10

work_when_full(keys)
local found = load(session)
if found.fence ~= fence then return false end
local count = redis.call('LLEN', session.batch)
-- A call that is sent twice has moved its messages the first time.
if found.kind == 'm' and count <= known and count > 0 then
  local room = math.min(max_batch, MOST_BATCHES * max_batch - count)
  local last = header(redis.call('LINDEX', session.batch, -1))
  local terms = { max_batch = room, max_bytes = max_bytes, kind = 'm' }
  if room > 0 then cut(keys, session, found, terms, last.key) end
  terms.max_batch = max_batch
  leave(session, found, terms)
end
return redis.call('LRANGE', session.batch, known, -1)
