"""When are two worlds the same? When only their clocks, fences and made-up names differ.

A key describes all that a later step can depend on: times by their distance from now, past ones as past where only that
counts; fences and tokens by what the store says of them; kicks by their place among the recorded ones; workers in any
order. What was handled is not part of it: every step was judged before two worlds are taken for one.
"""

from __future__ import annotations

import marshal
from hashlib import blake2b
from typing import Any

from celery_inbox.store.moves import NEVER
from celery_inbox.store.partition import Partition, Session
from model.case import LEASE
from model.promises import Expected
from model.world import Call, Kick, Worker, World

NOTHING = -99


def key_of(world: World) -> bytes:
    """Sixteen bytes that two worlds share when they have the same future."""
    labels = {
        kind_and_id: (number, *where)
        for name in world.case.partitions
        for number, (kind_and_id, *where) in enumerate(recorded_kicks(world, name))
    }
    described = (
        [partition_of(world, name) for name in world.case.partitions],
        sorted(marshal.dumps(kick_of(kick, labels), 2) for kick in world.broker),
        sorted(marshal.dumps(worker_of(world, worker, labels), 2) for worker in world.workers),
        [call_of(world, call, labels) for call in world.late],
        sorted(world.counted.items()),
        world.sent,
        world.faults,
        world.steered,
    )
    return blake2b(marshal.dumps(described, 2), digest_size=16).digest()


def ahead(at: int, now: int) -> int:
    """Milliseconds until then; all that is past is the same."""
    return NOTHING if at >= NEVER else max(at - now, 0)


def recorded_kicks(world: World, name: str) -> list[tuple[str, int]]:
    """A partition's kicks from the oldest, each with the time until it is old."""
    kicks = world.inbox.partition(name).kicks
    return [(kick, ahead(at + LEASE, world.inbox.now)) for at, kick in sorted((at, kick) for kick, at in kicks.items())]


def partition_of(world: World, name: str) -> Any:
    """Sessions and sets; their order is what claim, dispatch and reclaim go by."""
    now, partition = world.inbox.now, world.inbox.partition(name)
    sets = [
        [(digest, ahead(at, now)) for at, digest in sorted((at, digest) for digest, at in kept.items())]
        for kept in (partition.due, partition.leased, partition.stopped)
    ]
    pauses = sorted((digest, ahead(until, now)) for digest, until in partition.pauses.items() if until > now)
    sessions = [session_of(world, partition, digest) for digest in sorted(partition.sessions)]
    kicks = [(kick[0], left) for kick, left in recorded_kicks(world, name)]
    return sets, pauses, sessions, ahead(partition.grace_until, now), kicks


def session_of(world: World, partition: Partition, digest: str) -> Any:
    """A session; its messages by kind and age, for their ids mean nothing to the store."""
    session, expected, now = partition.sessions[digest], world.inbox.expected[digest], world.inbox.now
    waiting = batch = None
    if session.waiting:
        aged = aged_of(expected, expected.waiting, now)
        times = max(session.active_at - now, -world.case.debounce), ahead(session.deadline_at, now)
        waiting = aged, times, session.closed, session.active, session.key, session.head
    if session.batch_id:
        kinds = [expected.kinds[id] for id in expected.left[: expected.size]]
        back = aged_of(expected, expected.left[: expected.size], now) if world.case.on_cancel == "rejoin" else None
        batch = kinds, back, batch_of(partition, session, now)
    return digest, waiting, batch, session.held, session.flush


def aged_of(expected: Expected, ids: list[str], now: int) -> Any:
    """Messages by kind and age."""
    return [(expected.kinds[id], max(expected.arrived[id] - now, -expected.case.max_wait)) for id in ids]


def batch_of(partition: Partition, session: Session, now: int) -> Any:
    """The open batch, apart from its messages."""
    is_held, is_stopping = session.fence is not None, session.plan.worker in partition.stopping
    if is_held:
        return session.kind, session.attempt, is_stopping, session.cancelled, session.plan.max_attempts
    return session.kind, session.attempt, ahead(session.retry_at, now)


def kick_of(kick: Kick, labels: dict[str, Any]) -> Any:
    """A kick by its place among the recorded ones; a forgotten one by nothing but its kind."""
    return kick.partition, kick.kind, labels.get(kick.kind + kick.id, NOTHING)


def worker_of(world: World, worker: Worker, labels: dict[str, Any]) -> Any:
    """A worker without its name."""
    call = call_of(world, worker.call, labels) if worker.call else None
    claim = standing_of(world, worker.call.claim if worker.call else worker.claim)
    return worker.follows, worker.stopping, call, claim


def call_of(world: World, call: Call, labels: dict[str, Any]) -> Any:
    """A call; its token by whom it holds, else by the late calls that share it."""
    inbox = world.inbox
    holds = [expected.address.digest for expected in inbox.expected.values() if call.token == expected.token != ""]
    shared = [number for number, late in enumerate(world.late) if call.token and late.token == call.token]
    kick = kick_of(call.kick, labels) if call.kick else None
    is_stopping = call.plan.worker in inbox.stopping
    return call.move, call.plan.kind, is_stopping, bool(call.token), holds, shared, kick, standing_of(world, call.claim)


def standing_of(world: World, claim: Any) -> Any:
    """A claim by its session and by what the store would say of its fence."""
    if claim is None:
        return None
    place = claim.address
    session = world.inbox.partition(place.partition).sessions.get(place.digest)
    if session is not None and session.fence == claim.fence:
        return place.digest, claim.kind, "held"
    settled = world.inbox.is_settled(claim)
    return place.digest, claim.kind, "done" if settled else "lost"
