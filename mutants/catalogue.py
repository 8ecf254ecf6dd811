"""Every mutant: first those of the state machine, in memory and in Lua, then those of the code around it."""

from __future__ import annotations

from typing import NamedTuple

from mutants.mutant import Mutant

PARTITION, MEMORY, LUA = "store/partition.py", "store/memory.py", "store/lua/"

FAULTS = ("--case", "in line", "--depth", "8", "--faults", "1", "--steered", "0")
"""A walk in which one thing goes wrong."""
STEERED = ("--case", "in line", "--depth", "8", "--faults", "0", "--steered", "1")
"""A walk in which somebody steers."""
LULL = ("--case", "a lull", "--depth", "9", "--faults", "0", "--steered", "0")
REJOIN = ("--case", "in line, rejoin, hold", "--depth", "9", "--faults", "0", "--steered", "1")


class Change(NamedTuple):
    """One place in one file."""

    file: str
    old: str
    new: str


def pair(name: str, tests: str, in_memory: Change, in_lua: Change, walk: tuple[str, ...] = ()) -> tuple[Mutant, Mutant]:
    """The same mistake in both stores; tests of the store run on both."""
    paths = tuple(f"tests/store/test_{test}.py" for test in tests.split())
    return (
        Mutant(name, *in_memory, (*paths, "-k", "memory"), walk),
        Mutant(name, LUA + in_lua.file, in_lua.old, in_lua.new, (*paths, "-k", "redis")),
    )


STATE_MACHINE = (
    *pair(
        "no lease",
        "claim",
        Change(PARTITION, "self.leased[digest] = now + self.terms.lease", "self.leased[digest] = now"),
        Change("include/claim.lua", "keys.leased, now + terms.lease,", "keys.leased, now,"),
        FAULTS,
    ),
    *pair(
        "pop instead of claim: a batch is gone with its holder",
        "reclaim",
        Change(
            MEMORY,
            "        if not session.batch:\n            partition.close_batch(digest, now)\n        elif",
            "        if session.batch:\n            partition.close_batch(digest, now)\n        elif",
        ),
        Change("reclaim.lua", "redis.call('EXISTS', session.batch) == 0", "redis.call('EXISTS', session.batch) == 1"),
        FAULTS,
    ),
    *pair(
        "an ack does not arm what came meanwhile",
        "ack",
        Change(
            PARTITION,
            "None, 0, False\n        self.arm(digest, now)",
            "None, 0, False\n        if not session.waiting:\n            self.arm(digest, now)",
        ),
        Change(
            "include/settle.lua",
            "found.batch, found.retry_at, found.held = nil, nil, false\n  arm(",
            "found.batch, found.retry_at, found.held = nil, nil, false\n"
            "  if redis.call('EXISTS', session.waiting) == 0 then return end\n  arm(",
        ),
        FAULTS,
    ),
    *pair(
        "leases are never reclaimed",
        "reclaim",
        Change(MEMORY, "in slice_.leased.items() if end <= now)", "in slice_.leased.items() if end < 0)"),
        Change("reclaim.lua", "keys.leased, '-inf', now, 'LIMIT'", "keys.leased, '-inf', 0, 'LIMIT'"),
        FAULTS,
    ),
    *pair(
        "an id is remembered before its message is stored",
        "dedup",
        Change(
            MEMORY,
            '            return answer("duplicate")\n',
            '            return answer("duplicate")\n        ids.add(id, now, ttl, terms.max_ids)\n',
        ),
        Change(
            "send.lua",
            "  if outside_window(session, form) then",
            "  keep_in_mind(session, form)\n  if outside_window(session, form) then",
        ),
    ),
    *pair(
        "a message is accepted twice",
        "dedup",
        Change(MEMORY, '        if seen:\n            return answer("duplicate")\n', ""),
        Change("send.lua", "if seen(session, form) then", "if false then"),
        FAULTS,
    ),
    *pair(
        "a duplicate changes when its batch is due",
        "dedup",
        Change(
            MEMORY,
            "        if seen:\n",
            "        if seen:\n            partition.due[digest] = partition.due.get(digest, 0) + 1\n",
        ),
        Change(
            "send.lua",
            "if seen(session, form) then return",
            "if seen(session, form) then redis.call('ZINCRBY', keys.due, 1, session.digest) return",
        ),
        FAULTS,
    ),
    *pair(
        "a retry goes to the tail",
        "nack claim",
        Change(
            PARTITION,
            "        self.sessions[digest].retry_at = retry_at\n",
            "        session = self.sessions[digest]\n"
            "        session.waiting, session.batch = session.waiting + session.batch, []\n"
            "        session.batch_id, session.deadline_at, session.active = None, retry_at, False\n",
        ),
        Change(
            "include/settle.lua",
            "  found.retry_at = retry_at\n",
            "  while redis.call('LMOVE', session.batch, session.waiting, 'LEFT', 'RIGHT') do end\n"
            "  found.batch, found.deadline_at, found.active = nil, retry_at, false\n"
            "  redis.call('HDEL', session.hash, 'batch')\n  save_waiting(session, found)\n",
        ),
        FAULTS,
    ),
    *pair(
        "a cancelled batch rejoins at the tail",
        "cancel",
        Change(PARTITION, "session.waiting[:0] = back", "session.waiting += back"),
        Change(
            "include/settle.lua",
            "redis.call('LMOVE', session.batch, session.waiting, 'RIGHT', 'LEFT')",
            "redis.call('LMOVE', session.batch, session.waiting, 'LEFT', 'RIGHT')",
        ),
        REJOIN,
    ),
    *pair(
        "the fence is ignored",
        "ack nack release",
        Change(
            PARTITION,
            "if session is not None and session.fence == fence:",
            "if session is not None and session.fence is not None:",
        ),
        Change("include/settle.lua", "if found.fence == fence then", "if found.fence then"),
        FAULTS,
    ),
    *pair(
        "anybody renews",
        "renew",
        Change(
            MEMORY,
            "        if session is None or session.fence != claim.fence:\n            return False\n"
            "        partition.leased[",
            "        if session is None or session.fence is None:\n            return False\n        partition.leased[",
        ),
        Change("renew.lua", "if found.fence ~= fence then", "if not found.fence then"),
    ),
    *pair(
        "fences follow the clock alone",
        "claim",
        Change(PARTITION, "max(self.fence + 1, now)", "now"),
        Change("include/claim.lua", "math.max(tonumber(redis.call('GET', keys.fence) or 0) + 1, now)", "now"),
        FAULTS,
    ),
    *pair(
        "a claim comes too early",
        "claim",
        Change(PARTITION, "in self.due.items() if at <= now)", "in self.due.items())"),
        Change(
            "include/claim.lua",
            "'-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)",
            "'-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)",
        ),
        FAULTS,
    ),
    *pair(
        "max_wait never binds",
        "due",
        Change(
            PARTITION,
            "min(session.active_at + session.debounce, session.deadline_at)",
            "session.active_at + session.debounce",
        ),
        Change(
            "include/due.lua",
            "math.min(found.active_at + found.debounce, found.deadline_at)",
            "found.active_at + found.debounce",
        ),
        LULL,
    ),
    *pair(
        "the first message alone starts the countdown",
        "due",
        Change(
            MEMORY,
            "        if active:\n            session.active_at = now",
            "        if active and first:\n            session.active_at = now",
        ),
        Change(
            "send.lua", "if form.active then found.active_at = now end", "if count == 1 then found.active_at = now end"
        ),
        LULL,
    ),
    *pair(
        "lost kicks are never forgotten",
        "dispatch",
        Change(MEMORY, "                del partition.kicks[kick]", "                partition.kicks[kick] = now"),
        Change("dispatch.lua", "redis.call('ZREM', keys.kicks, kick)", "redis.call('ZADD', keys.kicks, now, kick)"),
        FAULTS,
    ),
    *pair(
        "a kick that could not be published is not taken back",
        "dispatch",
        Change(MEMORY, "recorded.pop(kind + kick, None)", "recorded.get(kind + kick)"),
        Change(
            "unkick.lua", "redis.call('ZREM', keys.kicks, kick)", "(redis.call('ZSCORE', keys.kicks, kick) and 1 or 0)"
        ),
    ),
    *pair(
        "settled fences are not remembered: a repeated ack is lost",
        "ack",
        Change(PARTITION, "        self.settled.add(", "        Remembered().add("),
        Change(
            "include/settle.lua",
            "remember(keys.settled, string.format('%.0f', found.fence)",
            "remember(keys.settled, '0'",
        ),
        FAULTS,
    ),
    *pair(
        "the claim token is ignored: a repeated claim gets the next batch",
        "claim",
        Change(PARTITION, "if token in self.holders:", "if token in self.windows:"),
        Change("include/claim.lua", "  if held then", "  if held == '' then"),
        FAULTS,
    ),
    *pair(
        "a drop takes the running batch too",
        "edit pause exhausted",
        Change(
            MEMORY,
            "if session.batch_id and not session.fence:\n            out,",
            "if session.batch_id:\n            out,",
        ),
        Change(
            "drop.lua",
            "if not found.fence and redis.call('EXISTS', session.batch) == 1",
            "if redis.call('EXISTS', session.batch) == 1",
        ),
        STEERED,
    ),
    *pair(
        "a pause is not seen when a session is armed",
        "pause",
        Change(PARTITION, "        if stop_ends_at is not None:", "        if stop_ends_at == 0:"),
        Change("include/arm.lua", "  if stop_ends_at then", "  if stop_ends_at == 0 then"),
        STEERED,
    ),
    *pair(
        "a resumed session stays stopped",
        "pause",
        Change(
            MEMORY,
            "        if not session.fence:\n            partition.arm(address.digest, now)\n        return was_stopped",
            "        return was_stopped",
        ),
        Change("resume.lua", "start_again(keys, session, found, now)\n", ""),
        STEERED,
    ),
    *pair(
        "attempts are not counted",
        "claim nack",
        Change(PARTITION, "session.attempt += 1", "session.attempt = 1"),
        Change("include/claim.lua", "found.attempt = (found.attempt or 0) + 1", "found.attempt = 1"),
        FAULTS,
    ),
    *pair(
        "a released batch keeps its attempt",
        "release",
        Change(MEMORY, "partition.sessions[digest].attempt -= 1", "partition.sessions[digest].attempt -= 0"),
        Change("release.lua", "found.attempt = found.attempt - 1", "found.attempt = found.attempt - 0"),
    ),
    *pair(
        "a worker that was told to stop claims on",
        "stop",
        Change(PARTITION, "if plan.worker in self.stopping:", "if plan.worker in self.windows:"),
        Change("include/claim.lua", "if redis.call('ZSCORE', keys.stopping, terms.worker) then return false end", ""),
        FAULTS,
    ),
    *pair(
        "a deploy eats an attempt",
        "reclaim",
        Change(
            MEMORY,
            "if session.plan.worker in partition.stopping:\n            session.attempt -= 1",
            "if session.plan.worker in partition.stopping:\n            session.attempt -= 0",
        ),
        Change("reclaim.lua", "found.attempt = found.attempt - 1", "found.attempt = found.attempt - 0"),
        FAULTS,
    ),
    *pair(
        "no grace after an outage",
        "reclaim",
        Change(MEMORY, "if slice_.grace_until > now:", "if slice_.grace_until < 0:"),
        Change("reclaim.lua", "'grace_until') or 0) > now then", "'grace_until') or 0) < 0 then"),
        FAULTS,
    ),
    *pair(
        "a batch reaches across a command",
        "claim",
        Change(PARTITION, "if moved and (head.kind == COMMAND or size +", "if moved and (size +"),
        Change("include/claim.lua", "moved > 0 and (head.kind == 'c' or bytes", "moved > 0 and (bytes"),
        FAULTS,
    ),
    *pair(
        "an ended session leaves its record behind",
        "ack",
        Change(PARTITION, "            del self.sessions[digest]\n            return None", "            return None"),
        Change("include/arm.lua", "    redis.call('UNLINK', session.hash)\n", ""),
        FAULTS,
    ),
)

AROUND = (
    Mutant(
        "hash() instead of crc32",
        "store/keys.py",
        "str(crc32(session) % partitions)",
        "str(hash(session) % partitions)",
        ("tests/unit/test_keys.py",),
    ),
    Mutant(
        "the dispatcher never reclaims",
        "worker/dispatcher.py",
        "        if reply.expired:\n",
        "        if reply.expired < 0:\n",
        ("tests/crash/test_worker_killed.py", "-k", "restarted"),
    ),
    Mutant(
        "the dispatcher never publishes again",
        "worker/dispatcher.py",
        "        if reply.old_kicks:\n",
        "        if reply.old_kicks < 0:\n",
        ("tests/crash/test_kicks_lost.py",),
    ),
    Mutant(
        "countdown only: the dispatcher looks once",
        "worker/dispatcher.py",
        "now + reply.look_in / 1000",
        "now + 1_000_000.0",
        ("tests/crash/test_worker_killed.py", "-k", "restarted"),
    ),
    Mutant(
        "a failed batch counts as handled",
        "worker/drain.py",
        "inbox.store.nack(claim, delay, reason, told)",
        "inbox.store.ack(claim)",
        ("tests/crash/test_handler_fails.py",),
    ),
    Mutant(
        "leases are never renewed",
        "worker/lease.py",
        "            if self._renew_at <= now < self._until:\n",
        "            if self._renew_at <= now < 0:\n",
        ("tests/integration/test_leases.py",),
    ),
    Mutant(
        "an ack is tried once",
        "worker/lease.py",
        "        return until_answered(call)\n",
        "        return call()\n",
        ("tests/crash/test_redis_away_during_a_run.py",),
    ),
    Mutant(
        "Reject means another try",
        "worker/outcome.py",
        '        return "dead"\n',
        '        return "nack"\n',
        ("tests/integration/test_retries.py", "-k", "every_ending"),
    ),
)

MUTANTS = (*STATE_MACHINE, *AROUND)
