-- Take one waiting message out.
-- Reply: {1} when removed; {0} when it does not wait: it runs, was handled, or never came; {2, cursor} to search on.
-- Uses: clock, keys, element, session, due, arm, full, find.
local keys      = partition_keys(KEYS[1])  -- partition
local now       = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session   = session_keys(KEYS[1], ARGV[2]) -- digest
local id        = ARGV[3]                  -- percent-encoded
local max_batch = tonumber(ARGV[4])
local max_bytes = tonumber(ARGV[5])
local cursor    = tonumber(ARGV[6])        -- of the search so far, or 0

local GONE = 'removed ' .. id

work_when_full(keys, session)
local index, head, ahead = find(keys, session, id, cursor)
if ahead then return { 2, ahead } end
if not index then return { 0 } end
local found = load(session)
redis.call('LSET', session.waiting, index, GONE)
-- From the nearer end.
redis.call('LREM', session.waiting, 2 * index < redis.call('LLEN', session.waiting) and 1 or -1, GONE)
redis.call('HINCRBY', keys.counts, 'removed', 1)
found.bytes = found.bytes - head.size
if found.flush > index then found.flush = found.flush - 1 end
settle_edit(keys, session, found, now, max_batch, max_bytes)
return { 1 }
