-- Set aside an element that cannot be read; the oldest makes room, for nobody can tell how many another hand may write.
local MOST_CORRUPT = 1000

local function set_aside(keys, element)
  redis.call('HINCRBY', keys.counts, 'quarantined', 1)
  if redis.call('RPUSH', keys.corrupt, element) > MOST_CORRUPT then
    redis.call('LPOP', keys.corrupt)
    redis.call('HINCRBY', keys.counts, 'corrupt_evicted', 1)
  end
end
