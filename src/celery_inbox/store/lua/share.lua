-- Tell that a worker lives and what it consumes; a sharer learns what it may consume of the partitions that are shared out.
-- Reply: {partition...}, lowest first.
-- Uses: clock, keys, full, roster.
local keys       = inbox_keys(KEYS[1])  -- inbox
local now        = now_ms(ARGV[1])      -- ms, or '' for Redis's clock
local worker     = ARGV[2]              -- who tells
local fixed      = ARGV[3]              -- partitions that it serves whatever others do, as words
local held       = ARGV[4]              -- partitions that it consumes as its share, as words
local partitions = tonumber(ARGV[5])    -- how many are shared out; 0 for a worker that takes no share
local lease      = tonumber(ARGV[6])    -- ms: who has not told for so long is dead; 0 to take nobody for dead

work_when_full(keys)
local changed = not redis.call('ZSCORE', keys.workers, worker)
redis.call('ZADD', keys.workers, now, worker)
redis.call('HSET', keys.serves, worker, fixed .. ' ' .. held)
if lease > 0 then
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', keys.workers, '-inf', now - lease)) do
    strike_out(keys, dead)
    changed = true
  end
end
local mine = {}
if partitions > 0 then
  redis.call('SADD', keys.sharers, worker)
  local sharers = redis.call('SMEMBERS', keys.sharers)
  table.sort(sharers)
  local quota = math.floor(partitions / #sharers)
  local shares = {}
  for place, each in ipairs(sharers) do
    shares[each] = true
    if each == worker and place <= partitions % #sharers then quota = quota + 1 end
  end
  local holds = {}
  for partition in string.gmatch(held, '%S+') do holds[partition] = true end

  -- What nobody consumes any more is free.
  local owners = redis.call('HGETALL', keys.owners)
  local owner_of = {}
  for i = 1, #owners, 2 do
    local partition, owner = owners[i], owners[i + 1]
    if not shares[owner] or (owner == worker and not holds[partition]) or tonumber(partition) >= partitions then
      redis.call('HDEL', keys.owners, partition)
      changed = true
    else
      owner_of[partition] = owner
    end
  end

  local count = 0
  for _, owner in pairs(owner_of) do
    if owner == worker then count = count + 1 end
  end
  local function take(wanted)
    for number = 0, partitions - 1 do
      local partition = string.format('%d', number)
      if count < quota and not owner_of[partition] and (holds[partition] or not wanted) then
        redis.call('HSET', keys.owners, partition, worker)
        owner_of[partition] = worker
        count = count + 1
      end
    end
  end
  -- First what it consumes already: nothing moves without need.
  take(true)
  take(false)
  -- What it has too much stays its own until it has ceased to consume it.
  for number = 0, partitions - 1 do
    local partition = string.format('%d', number)
    if owner_of[partition] == worker and #mine < quota then table.insert(mine, partition) end
  end
end
if changed then tell_sharers(keys) end
return mine
