-- Tell that a worker ends: its share is free at once.
-- Reply: 1.
-- Uses: keys, full, roster.
local keys   = inbox_keys(KEYS[1])  -- inbox
local worker = ARGV[1]              -- who ends

work_when_full(keys)
strike_out(keys, worker)
tell_sharers(keys)
return 1
