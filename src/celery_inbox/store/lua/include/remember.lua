-- Ids that were seen, for a while and up to a number: message ids, generated ids, settled fences.
local function remembered(key, id, now, ttl)
  local at = tonumber(redis.call('ZSCORE', key, id))
  return at ~= nil and at > now - ttl
end

-- How many had to be forgotten early is the reply.
local function remember(key, id, now, ttl, most)
  redis.call('ZADD', key, now, id)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - ttl)
  redis.call('PEXPIRE', key, ttl)
  if redis.call('ZCARD', key) <= most then return 0 end
  return redis.call('ZREMRANGEBYRANK', key, 0, -(most + 1))
end
