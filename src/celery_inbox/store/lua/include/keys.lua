-- Every key, for nothing else builds keys: those of an inbox, of a partition, of a session in it, of a dead letter in it.
local function inbox_keys(prefix)
  return {
    config = prefix .. ':config',   -- hash: partitions, serializer; moving, ticket, phase while sessions are moved
    workers = prefix .. ':workers', -- zset: worker -> when it told last that it lives
    serves = prefix .. ':serves',   -- hash: worker -> its partitions
    sharers = prefix .. ':sharers', -- set: workers among which the partitions are shared out
    owners = prefix .. ':owners',   -- hash: partition -> the sharer that may consume it
    proofs = prefix .. ':proofs',   -- zset: worker -> when it consumed last
    shares = prefix .. ':shares',   -- channel: the shares may have changed
  }
end

local function partition_keys(prefix)
  return {
    prefix = prefix,
    partition = string.match(prefix, '([^.]+)}$'),
    due = prefix .. ':due',             -- zset: digest -> due_at
    leased = prefix .. ':leased',       -- zset: digest -> lease end
    stopped = prefix .. ':stopped',     -- zset: digest -> end of the pause
    kicks = prefix .. ':kicks',         -- zset: kind .. kick id -> published at
    fence = prefix .. ':fence',         -- last fence
    holders = prefix .. ':holders',     -- hash: claim token -> digest
    settled = prefix .. ':settled',     -- zset: settled fence -> at
    generated = prefix .. ':generated', -- zset: digest .. generated message id -> at
    stopping = prefix .. ':stopping',   -- zset: worker that was told to stop -> at
    dead = prefix .. ':dead',           -- zset: dead letter id -> at
    names = prefix .. ':names',         -- zset of commands: hash of the session's name .. digest
    corrupt = prefix .. ':corrupt',     -- list: quarantined elements
    counts = prefix .. ':counts',       -- hash: counters of promise 8
    state = prefix .. ':state',         -- hash: wake_at, looked_at, grace_until, layout, ticket
    merged = prefix .. ':merged',       -- set: partitions whose counts were added, while sessions are moved
    wake = prefix .. ':wake',           -- channel: ms until something is due
  }
end

local function session_keys(prefix, digest)
  return {
    digest = digest,
    hash = prefix .. ':s:' .. digest,        -- what include/session.lua loads
    waiting = prefix .. ':w:' .. digest,     -- list: elements, oldest first
    batch = prefix .. ':b:' .. digest,       -- list: elements of the open batch
    ids = prefix .. ':ids:' .. digest,       -- zset: accepted id -> at
    window = prefix .. ':window:' .. digest, -- last active message at; expires by itself
    rest = prefix .. ':rest:' .. digest,     -- no batch starts before; expires by itself
    pause = prefix .. ':pause:' .. digest,   -- end of the pause, or 0 for none
  }
end

-- A session's digest ends in the crc32 of its name, from which its partition follows.
local function home_of(digest, partitions)
  return string.format('%.0f', tonumber(string.sub(digest, -8), 16) % partitions)
end

local function at_home(keys, digest, partitions)
  return home_of(digest, partitions) == keys.partition
end

local function dead_keys(prefix, id)
  return {
    batch = prefix .. ':dead:' .. id,     -- list: elements
    info = prefix .. ':dead-info:' .. id, -- hash: session, reason, traceback, attempts, at
  }
end

local function dropped_keys(prefix, ticket)
  return {
    waiting = prefix .. ':dropped:' .. ticket,           -- list: elements that a drop took out, until they were read
    batch = prefix .. ':dropped:' .. ticket .. ':batch', -- list: those of the open batch
  }
end
