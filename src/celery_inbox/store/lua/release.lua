-- Give a batch back unconsumed; the attempt does not count.
-- Reply: done or lost.
-- Uses: clock, keys, element, session, due, arm, remember, full, settle.
local keys    = partition_keys(KEYS[1])  -- partition
local now     = now_ms(ARGV[1])          -- ms, or '' for Redis's clock
local session = session_keys(KEYS[1], ARGV[2]) -- digest
local fence   = tonumber(ARGV[3])        -- of the claim

work_when_full(keys)
local found = load(session)
local outcome = standing(keys, found, fence, now)
if outcome ~= 'held' then return outcome end
settled(keys, found, now)
found.attempt = found.attempt - 1
back_off(keys, session, found, now, now)
return 'done'
