-- Give one waiting message another body; its id, place and arrival stay.
-- Reply: {1} when replaced; {0} when it does not wait; {-1} when the session has no room for the larger body;
-- {2, cursor} to search on.
-- Uses: clock, keys, element, session, due, arm, full, find.
local keys              = partition_keys(KEYS[1])  -- partition
local now               = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session           = session_keys(KEYS[1], ARGV[2]) -- digest
local id                = ARGV[3]                  -- percent-encoded
local has_headers       = ARGV[4] == '1'
local key               = ARGV[5]                  -- digest of the batch key, or -
local payload           = ARGV[6]
local max_batch         = tonumber(ARGV[7])
local max_bytes         = tonumber(ARGV[8])
local max_pending_bytes = tonumber(ARGV[9])
local cursor            = tonumber(ARGV[10])       -- of the search so far, or 0

work_when_full(keys, session)
local index, head, ahead = find(keys, session, id, cursor)
if ahead then return { 2, ahead } end
if not index then return { 0 } end
local found = load(session)
if found.bytes - head.size + #payload > max_pending_bytes then return { -1 } end
local flags = string.gsub(head.flags, '[h-]', '') .. (has_headers and 'h' or '')
if head.redriven or head.isolated then key = head.key end
redis.call('LSET', session.waiting, index, pack(head.kind, flags == '' and '-' or flags, head.at, #payload, key, head.id, payload))
found.bytes = found.bytes - head.size + #payload
settle_edit(keys, session, found, now, max_batch, max_bytes)
return { 1 }
