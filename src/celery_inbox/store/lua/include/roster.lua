-- A worker is no more: what it shared is free.
local function strike_out(keys, worker)
  redis.call('ZREM', keys.workers, worker)
  redis.call('ZREM', keys.proofs, worker)
  redis.call('HDEL', keys.serves, worker)
  redis.call('SREM', keys.sharers, worker)
end

local function tell_sharers(keys)
  redis.call('PUBLISH', keys.shares, 'shares 0')
end
