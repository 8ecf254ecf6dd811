-- List a page of the partition's dead letters, oldest first.
-- Reply: {index to go on from, or -1 at the end; {{id, at, {field, value...}, {element...}}...}}; it ends early when it is many
-- bytes or looked at many.
-- Uses: keys.
local keys   = partition_keys(KEYS[1])  -- partition
local first  = tonumber(ARGV[1])        -- index
local last   = tonumber(ARGV[2])        -- index; -1 for the end
local wanted = ARGV[3]                  -- session name; '' for all sessions

local LOOK_AT = 500
local MOST_BYTES = 2097152

local size = redis.call('ZCARD', keys.dead)
if last < 0 then last = size + last end
local ids = redis.call('ZRANGE', keys.dead, first, math.min(last, first + LOOK_AT - 1), 'WITHSCORES')
local listed, looked_at, room = {}, 0, MOST_BYTES
for i = 1, #ids, 2 do
  if room <= 0 then break end
  local letter = dead_keys(KEYS[1], ids[i])
  if wanted == '' or redis.call('HGET', letter.info, 'session') == wanted then
    local elements = redis.call('LRANGE', letter.batch, 0, -1)
    for _, element in ipairs(elements) do room = room - #element end
    table.insert(listed, { ids[i], ids[i + 1], redis.call('HGETALL', letter.info), elements })
  end
  looked_at = looked_at + 1
end
local following = first + looked_at
return { (looked_at == 0 or following > last or following >= size) and -1 or following, listed }
