-- Read elements until they are many bytes: whoever wants more asks again.
local PAGE_BYTES = 2097152
local PAGE_ELEMENTS = 1000
local READING = 100 -- bytes that take as long to read as an element does in itself

-- Replies the elements and what is left of the room; one that is larger than the room is read alone.
local function read_page(key, first, last, room)
  local elements, step = {}, 1
  while first <= last and room > 0 do
    local read = redis.call('LRANGE', key, first, math.min(first + step - 1, last))
    if #read == 0 then break end
    for _, element in ipairs(read) do
      table.insert(elements, element)
      room = room - #element - READING
    end
    first = first + #read
    step = math.max(math.min(math.floor(room / (#read[#read] + READING)), PAGE_ELEMENTS), 1)
  end
  return elements, room
end
