-- List the workers of an inbox.
-- Reply: {{worker, told at, consumed at or false, its partitions as words}...}, now in ms.
-- Uses: clock, keys.
local keys = inbox_keys(KEYS[1])  -- inbox
local now  = now_ms(ARGV[1])      -- ms, or '' for Redis's clock

local listed = {}
local found = redis.call('ZRANGE', keys.workers, 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
  table.insert(listed, {
    found[i], found[i + 1], redis.call('ZSCORE', keys.proofs, found[i]), redis.call('HGET', keys.serves, found[i]) or '',
  })
end
return { listed, now }
