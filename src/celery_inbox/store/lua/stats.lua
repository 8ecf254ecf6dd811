-- Read the partition's counters and depths.
-- Reply: {{counter, value...}, due, leased, stopped, kicks, dead letters, oldest due_at or false,
-- last look of a dispatcher or false}.
-- Uses: keys.
local keys = partition_keys(KEYS[1])  -- partition

return {
  redis.call('HGETALL', keys.counts), redis.call('ZCARD', keys.due), redis.call('ZCARD', keys.leased),
  redis.call('ZCARD', keys.stopped), redis.call('ZCARD', keys.kicks), redis.call('ZCARD', keys.dead),
  redis.call('ZRANGE', keys.due, 0, 0, 'WITHSCORES')[2] or false,
  redis.call('HGET', keys.state, 'looked_at'),
}
