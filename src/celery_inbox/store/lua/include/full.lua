-- A server at its memory limit lets a script write on once it has made a write that frees memory.
local function work_when_full(keys)
  redis.call('ZREM', keys.kicks or keys.workers, '')
end
