-- Elements: a short ASCII header, then a payload that Lua never reads (see element.py).
local VERSION = '1'

local function pack(kind, flags, at, size, key, id, payload)
  return VERSION .. ' ' .. kind .. ' ' .. flags .. ' ' .. string.format('%.0f', at) .. ' ' .. size .. ' ' .. key .. ' ' .. id
    .. ' ' .. payload
end

local HEADER = '^' .. VERSION .. ' ([mc]) ([a-z-]+) (%d+) (%d+) ([!-~]+) ([!-~]+) ()'

-- The header word by word, for who reads many; nil when there is none for us. Fifteen digits are a number without loss.
local function header_words(element)
  local kind, flags, at, size, key, id, payload = string.match(element, HEADER)
  if kind and #at <= 15 and #size <= 15 then return kind, flags, at, size, key, id, payload end
end

-- The header as a table; 'newer' or 'corrupt' when there is none for us.
local function header(element)
  local kind, flags, at, size, key, id, payload = header_words(element)
  if kind then
    return {
      kind = kind, flags = flags, at = tonumber(at), size = tonumber(size), key = key, id = id, payload = payload,
      active = string.find(flags, 'a', 1, true) ~= nil, redriven = string.find(flags, 'r', 1, true) ~= nil,
      isolated = string.find(flags, 'i', 1, true) ~= nil,
    }
  end
  local version = string.match(element, '^([1-9]%d*) ')
  if version and #version <= 15 and version ~= VERSION then return 'newer' end
  return 'corrupt'
end

-- The id alone, for a search looks at many.
local function id_of(element)
  return string.match(element, '^' .. VERSION .. ' [mc] [a-z-]+ %d+ %d+ [!-~]+ ([!-~]+) ')
end

-- The element with another flag in front of its own, and another key.
local function marked(element, head, flag, key)
  local flags = string.gsub(head.flags, '[i-]', '')
  if flag ~= '' then flags = flag .. string.gsub(flags, flag, '') end
  return pack(head.kind, flags == '' and '-' or flags, head.at, head.size, key, head.id, string.sub(element, head.payload))
end
