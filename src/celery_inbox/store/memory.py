"""The same moves in plain Python: description of the protocol, fake of tests, model of the Lua."""

from __future__ import annotations

import time
from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from celery_inbox.element import COMMAND, MESSAGE, CorruptElement, Header, Kind, NewerElement, pack, unpack
from celery_inbox.store.keys import Address
from celery_inbox.store.moves import (
    GENERATED_TTL,
    LOOK_AT,
    MOST_REMEMBERED,
    SETTLED_TTL,
    Claim,
    Depths,
    Dispatch,
    Letter,
    Outgoing,
    Plan,
    Reclaimed,
    Sent,
    Settled,
    Terms,
    View,
)

CRASHED = "The worker did not renew its lease: killed, out of memory, or hung."
"""Stands where a dead letter of a failed handler has its traceback."""


@dataclass
class Session:
    """A session that has messages: a waiting list, and from claim to settlement a batch list."""

    name: str
    debounce: int
    max_wait: int
    waiting: list[bytes] = field(default_factory=list)
    batch: list[bytes] = field(default_factory=list)

    # The waiting list, as the due function sees it.
    active_at: int = 0
    deadline_at: int = 0
    bytes: int = 0
    flush: int = 0
    closed: bool = False
    active: bool = False
    key: str = "-"
    head: Kind = MESSAGE

    # The open batch; fence and token only while somebody holds it.
    batch_id: str | None = None
    kind: Kind = MESSAGE
    attempt: int = 0
    retry_at: int = 0
    fence: int | None = None
    token: str | None = None
    plan: Plan = field(default_factory=Plan)
    due_at: int = 0
    claimed_at: int = 0


class Remembered(dict[str, int]):
    """Ids that were seen, for a while and up to a number."""

    def holds(self, id: str, now: int, ttl: int) -> bool:
        return id in self and self[id] > now - ttl

    def add(self, id: str, now: int, ttl: int, most: int) -> int:
        """Remember an id; how many had to be forgotten early is the reply."""
        self[id] = now
        for old in [old for old, at in self.items() if at <= now - ttl]:
            del self[old]
        early = sorted(self, key=lambda known: (self[known], known))[: max(len(self) - most, 0)]
        for old in early:
            del self[old]
        return len(early)


@dataclass
class Partition:
    """A slice of sessions: each is in exactly one of due, leased and stopped."""

    name: str
    sessions: dict[str, Session] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    leased: dict[str, int] = field(default_factory=dict)
    stopped: dict[str, int] = field(default_factory=dict)
    kicks: dict[str, int] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    ids: dict[str, Remembered] = field(default_factory=dict)
    generated: Remembered = field(default_factory=Remembered)
    settled: Remembered = field(default_factory=Remembered)
    windows: dict[str, int] = field(default_factory=dict)
    rests: dict[str, int] = field(default_factory=dict)
    stopping: dict[str, int] = field(default_factory=dict)
    letters: dict[str, Letter] = field(default_factory=dict)
    corrupt: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    fence: int = 0
    grace_until: int = 0

    def session(self, digest: str) -> Session:
        return self.sessions[digest]

    def longest_due(self, now: int, most: int) -> list[str]:
        ripe = sorted((at, digest) for digest, at in self.due.items() if at <= now)
        return [digest for _, digest in ripe[:most]]


def read(element: bytes) -> Header | Literal["newer", "corrupt"]:
    """The header of an element, or why there is none for us."""
    try:
        return unpack(element)[0]
    except NewerElement:
        return "newer"
    except CorruptElement:
        return "corrupt"


class MemoryStore:
    """One inbox's sessions in this process."""

    def __init__(self, terms: Terms, clock: Callable[[], int] | None = None) -> None:
        self.terms = terms
        self.clock = clock or (lambda: time.time_ns() // 1_000_000)
        self.partitions: dict[str, Partition] = {}
        self._recorded: tuple[int, str] | None = None

    def _at(self, name: str, now: int | None) -> tuple[Partition, int]:
        if name not in self.partitions:
            self.partitions[name] = Partition(name)
        return self.partitions[name], self.clock() if now is None else now

    def register(self, partitions: int, serializer: str) -> tuple[int, str]:
        self._recorded = self._recorded or (partitions, serializer)
        return self._recorded

    # The one due function.

    def _due_at(self, partition: Partition, digest: str, session: Session, now: int) -> int | None:
        if session.batch_id:
            return session.retry_at
        if not session.waiting:
            return None
        if session.closed or session.flush > 0:
            at = now
        elif session.active:
            at = min(session.active_at + session.debounce, session.deadline_at)
        else:
            at = session.deadline_at
        return at if session.head == COMMAND else max(at, partition.rests.get(digest, 0))

    def _arm(self, partition: Partition, digest: str, session: Session, now: int) -> int | None:
        at = self._due_at(partition, digest, session, now)
        if at is None:
            partition.due.pop(digest, None)
            del partition.sessions[digest]
            return None
        was = partition.due.get(digest)
        if was is not None and was <= now:
            return was
        partition.due[digest] = at
        return at

    def _look(self, session: Session) -> None:
        """Would the waiting messages be cut somewhere, whatever comes later?"""
        session.closed, session.active, session.key, session.head = False, False, "-", MESSAGE
        first = read(session.waiting[0])
        if isinstance(first, str):
            session.closed = True
            return
        session.key, session.head = first.key, first.kind
        full = len(session.waiting) >= self.terms.max_batch or session.bytes >= self.terms.max_bytes
        if first.kind == COMMAND or first.redriven or full:
            session.closed = True
            return
        for element in session.waiting:
            each = read(element)
            if isinstance(each, str) or each.kind == COMMAND or each.key != first.key:
                session.closed = True
                return
            session.active = session.active or each.active

    # Sending.

    def send(self, message: Outgoing, now: int | None = None) -> Sent:
        terms, digest = self.terms, message.address.digest
        partition, now = self._at(message.address.partition, now)
        session = partition.sessions.get(digest) or Session(message.address.session, message.debounce, message.max_wait)
        size, active = len(message.payload), "a" in message.flags

        def answer(status: Literal["accepted", "duplicate", "ignored", "full"], dropped: Sequence[str] = ()) -> Sent:
            return Sent(status, len(session.waiting), session.bytes, partition.due.get(digest), tuple(dropped))

        ids = partition.generated if message.generated else partition.ids.setdefault(digest, Remembered())
        ttl = GENERATED_TTL if message.generated else terms.dedup_ttl
        if ids.holds(message.id, now, ttl):
            return answer("duplicate")
        if terms.active_window >= 0 and not active:
            opened_at = partition.windows.get(digest)
            if opened_at is None or now - opened_at > terms.active_window:
                return answer("ignored")

        dropping: list[Header] = []
        freed = 0
        while (
            len(session.waiting) - len(dropping) + 1 > terms.max_pending
            or session.bytes - freed + size > terms.max_pending_bytes
        ):
            oldest = (
                read(session.waiting[len(dropping)])
                if terms.drop_oldest and len(dropping) < len(session.waiting)
                else "corrupt"
            )
            if isinstance(oldest, str) or oldest.kind == COMMAND:
                return answer("full")
            dropping.append(oldest)
            freed += oldest.size
        if dropping:
            del session.waiting[: len(dropping)]
            partition.counts["dropped"] += len(dropping)
            session.bytes, session.flush = session.bytes - freed, max(session.flush - len(dropping), 0)
            head = read(session.waiting[0]) if session.waiting else "corrupt"
            if isinstance(head, Header):
                session.key, session.head = head.key, head.kind

        first = not session.waiting
        header = Header(message.kind, message.flags, now, size, message.key, message.id)
        session.waiting.append(pack(header, message.payload))
        partition.sessions[digest] = session
        partition.counts["accepted"] += 1
        evicted = ids.add(message.id, now, ttl, MOST_REMEMBERED if message.generated else terms.max_ids)
        if evicted and not message.generated:
            partition.counts["ids_evicted"] += evicted
        if active and terms.active_window > 0:
            partition.windows[digest] = now

        if first:
            session.key, session.head = message.key, message.kind
            if not dropping:
                session.deadline_at, session.active, session.closed = now + message.max_wait, False, False
        session.bytes += size
        session.debounce, session.max_wait = message.debounce, message.max_wait
        session.active = session.active or active
        if active:
            session.active_at = now
        if message.flush:
            session.flush = len(session.waiting)
        full = len(session.waiting) >= terms.max_batch or session.bytes >= terms.max_bytes
        session.closed = session.closed or message.kind == COMMAND or message.key != session.key or full
        if not session.batch_id and digest not in partition.stopped:
            self._arm(partition, digest, session, now)
        return answer("accepted", [header.id for header in dropping])

    def send_many(self, messages: Sequence[Outgoing], now: int | None = None) -> list[Sent]:
        return [self.send(message, now) for message in messages]

    async def asend(self, message: Outgoing) -> Sent:
        return self.send(message)

    def touch(self, address: Address, now: int | None = None) -> int | None:
        partition, now = self._at(address.partition, now)
        session = partition.sessions.get(address.digest)
        if session is None or not session.waiting:
            return None
        if address.digest not in partition.stopped and (session.fence or not session.batch_id):
            session.active_at = now
            if not session.batch_id:
                self._arm(partition, address.digest, session, now)
        return partition.due.get(address.digest)

    # Claiming.

    def claim(self, partition: str, token: str, plan: Plan, kick: str = "", now: int | None = None) -> Claim | None:
        slice_, now = self._at(partition, now)
        if kick:
            slice_.kicks.pop(plan.kind + kick, None)
        return self._claim_next(slice_, token, plan, now)

    def _claim_next(self, partition: Partition, token: str, plan: Plan, now: int) -> Claim | None:
        if token in partition.holders:
            return self._claimed(partition, partition.holders[token])
        if plan.worker in partition.stopping:
            return None
        for digest in partition.longest_due(now, LOOK_AT):
            session = partition.session(digest)
            if session.batch_id:
                if session.kind == plan.kind:
                    return self._hold(partition, digest, token, plan, now)
            elif session.head == plan.kind:
                moved, newer = self._cut(partition, session, plan.kind)
                self._leave(session)
                if moved:
                    return self._hold(partition, digest, token, plan, now)
                self._arm(partition, digest, session, now)
                if newer:
                    partition.due[digest] = now + self.terms.lease
        return None

    def _cut(self, partition: Partition, session: Session, kind: Kind) -> tuple[int, bool]:
        """Move the oldest messages to the batch until a limit, a command or another key."""
        moved, size, key = 0, 0, "-"
        for _ in range(self.terms.max_batch + LOOK_AT):
            if not session.waiting or moved >= self.terms.max_batch:
                break
            head = read(session.waiting[0])
            if head == "newer":
                if moved == 0:
                    partition.counts["newer"] += 1
                    return 0, True
                break
            if isinstance(head, str):
                partition.corrupt.append(session.waiting.pop(0))
                partition.counts["quarantined"] += 1
                continue
            if moved == 0 and head.kind != kind:
                break
            if moved and (head.kind == COMMAND or head.key != key or size + head.size > self.terms.max_bytes):
                break
            session.batch.append(session.waiting.pop(0))
            session.kind = head.kind
            moved, size, key = moved + 1, size + head.size, head.key
            if head.kind == COMMAND:
                break
        session.bytes -= size
        session.flush = max(session.flush - moved, 0)
        return moved, False

    def _leave(self, session: Session) -> None:
        """Describe what stayed behind, for the moves that arm the session later."""
        if not session.waiting:
            session.bytes, session.flush, session.closed, session.active = 0, 0, False, False
            session.key, session.head = "-", MESSAGE
            return
        self._look(session)
        first = read(session.waiting[0])
        if isinstance(first, Header):
            session.deadline_at = first.at + session.max_wait

    def _hold(self, partition: Partition, digest: str, token: str, plan: Plan, now: int) -> Claim:
        session = partition.session(digest)
        session.due_at, session.claimed_at = partition.due.pop(digest), now
        session.fence = partition.fence = max(partition.fence + 1, now)
        session.attempt += 1
        session.batch_id = session.batch_id or f"{partition.name}-{session.fence}"
        session.token, session.plan = token, plan
        partition.leased[digest] = now + self.terms.lease
        partition.holders[token] = digest
        if self.terms.min_interval > 0 and session.kind == MESSAGE:
            partition.rests[digest] = now + self.terms.min_interval
        return self._claimed(partition, digest)

    def _claimed(self, partition: Partition, digest: str) -> Claim:
        session = partition.session(digest)
        assert session.fence is not None
        assert session.batch_id is not None
        return Claim(
            Address(partition.name, digest, session.name),
            session.fence,
            session.attempt,
            session.batch_id,
            session.kind,
            session.due_at,
            session.claimed_at,
            tuple(session.batch),
        )

    def renew(self, claim: Claim, now: int | None = None) -> bool:
        partition, now = self._at(claim.address.partition, now)
        session = partition.sessions.get(claim.address.digest)
        if session is None or session.fence != claim.fence:
            return False
        partition.leased[claim.address.digest] = now + self.terms.lease
        return True

    # Settling.

    def _standing(self, partition: Partition, claim: Claim, now: int) -> Literal["held", "done", "lost"]:
        session = partition.sessions.get(claim.address.digest)
        if session is not None and session.fence == claim.fence:
            return "held"
        return "done" if partition.settled.holds(str(claim.fence), now, SETTLED_TTL) else "lost"

    def _let_go(self, partition: Partition, digest: str) -> None:
        session = partition.session(digest)
        partition.leased.pop(digest, None)
        partition.holders.pop(session.token or "", None)
        session.fence = session.token = None

    def _back_off(self, partition: Partition, digest: str, retry_at: int, now: int) -> int | None:
        self._let_go(partition, digest)
        session = partition.session(digest)
        session.retry_at = retry_at
        return self._arm(partition, digest, session, now)

    def _close_batch(self, partition: Partition, digest: str, now: int) -> None:
        self._let_go(partition, digest)
        session = partition.session(digest)
        session.batch, session.batch_id, session.attempt = [], None, 0
        self._arm(partition, digest, session, now)

    def _bury(self, partition: Partition, digest: str, now: int, reason: str, traceback: str) -> tuple[str, ...]:
        session = partition.session(digest)
        id = session.batch_id or ""
        partition.letters[id] = Letter(
            id, session.name, now, session.attempt, reason, traceback, session.kind, tuple(session.batch)
        )
        partition.counts["dead"] += len(session.batch)
        oldest_first = sorted(partition.letters.values(), key=lambda letter: (letter.at, letter.id))
        evicted = oldest_first[: max(len(oldest_first) - self.terms.max_dead, 0)]
        for letter in evicted:
            partition.counts["dead_evicted"] += len(partition.letters.pop(letter.id).elements)
        self._close_batch(partition, digest, now)
        return tuple(letter.id for letter in evicted)

    def ack(self, claim: Claim, token: str = "", plan: Plan | None = None, now: int | None = None) -> Settled:
        partition, now = self._at(claim.address.partition, now)
        outcome, handled = self._standing(partition, claim, now), 0
        if outcome == "held":
            outcome, handled = "done", len(partition.session(claim.address.digest).batch)
            partition.settled.add(str(claim.fence), now, SETTLED_TTL, MOST_REMEMBERED)
            partition.counts["handled"] += handled
            self._close_batch(partition, claim.address.digest, now)
        following = self._claim_next(partition, token, plan or Plan(), now) if token else None
        return Settled(outcome, handled, next=following)

    def nack(self, claim: Claim, delay: int, reason: str = "", traceback: str = "", now: int | None = None) -> Settled:
        partition, now = self._at(claim.address.partition, now)
        digest, outcome = claim.address.digest, self._standing(partition, claim, now)
        if outcome != "held":
            return Settled(outcome)
        partition.settled.add(str(claim.fence), now, SETTLED_TTL, MOST_REMEMBERED)
        session = partition.session(digest)
        if not session.batch:  # Quarantine took every message: nothing is left to try again or to bury.
            self._close_batch(partition, digest, now)
            return Settled("done")
        if delay >= 0 and session.attempt < session.plan.max_attempts:
            return Settled("retry", retry_at=self._back_off(partition, digest, now + delay, now))
        return Settled("dead", dead_id=session.batch_id, evicted=self._bury(partition, digest, now, reason, traceback))

    def release(self, claim: Claim, now: int | None = None) -> Settled:
        partition, now = self._at(claim.address.partition, now)
        outcome = self._standing(partition, claim, now)
        if outcome != "held":
            return Settled(outcome)
        partition.settled.add(str(claim.fence), now, SETTLED_TTL, MOST_REMEMBERED)
        partition.session(claim.address.digest).attempt -= 1
        self._back_off(partition, claim.address.digest, now, now)
        return Settled("done")

    def reclaim(self, partition: str, outage: bool = False, now: int | None = None) -> list[Reclaimed]:
        slice_, now = self._at(partition, now)
        if outage:
            slice_.grace_until = now + self.terms.lease
        if slice_.grace_until > now:
            return []
        reclaimed = []
        for digest in [
            digest for digest, end in sorted(slice_.leased.items(), key=lambda item: item[::-1]) if end <= now
        ][:LOOK_AT]:
            session = slice_.session(digest)
            assert session.fence is not None
            assert session.batch_id is not None
            told = Reclaimed(
                Address(partition, digest, session.name), session.fence, session.attempt, "retry", session.batch_id
            )
            if session.plan.worker in slice_.stopping:
                session.attempt -= 1
            if not session.batch:  # Quarantine took every message before the worker died.
                self._close_batch(slice_, digest, now)
            elif session.attempt >= session.plan.max_attempts:
                told = replace(told, outcome="dead")
                self._bury(slice_, digest, now, "crashed", CRASHED)
            else:
                self._back_off(slice_, digest, now, now)
            reclaimed.append(told)
        return reclaimed

    def quarantine(self, claim: Claim, element: bytes) -> bool:
        partition, _ = self._at(claim.address.partition, 0)
        session = partition.sessions.get(claim.address.digest)
        if session is None or session.fence != claim.fence or element not in session.batch:
            return False
        session.batch.remove(element)
        partition.corrupt.append(element)
        partition.counts["quarantined"] += 1
        return True

    # Dispatching.

    def dispatch(self, partitions: Sequence[str], nonce: str, slots: int, now: int | None = None) -> list[Dispatch]:
        return [self._dispatch(*self._at(name, now), nonce, slots) for name in partitions]

    def _dispatch(self, partition: Partition, now: int, nonce: str, slots: int) -> Dispatch:
        partition.kicks = {kick: at for kick, at in partition.kicks.items() if at > now - self.terms.lease}
        wanted = Counter[str]()
        for digest in partition.longest_due(now, 2 * slots):
            session = partition.session(digest)
            wanted[session.kind if session.batch_id else session.head] += 1
        wanted.subtract(Counter(kick[0] for kick in partition.kicks))
        kicks: list[tuple[Kind, str]] = []
        for kind in (MESSAGE, COMMAND):
            for i in range(1, wanted[kind] + 1 if any(at <= now for at in partition.due.values()) else 1):
                kicks.append((kind, f"{nonce}-{partition.name}-{kind}{i}"))
                partition.kicks[kind + kicks[-1][1]] = now
        look_at = min([now + self.terms.interval, *(at for at in partition.due.values() if at > now)])
        expired = 0
        if partition.leased and partition.grace_until <= now:
            expired = sum(end <= now for end in partition.leased.values())
            look_at = min(look_at, max(min(partition.leased.values()), now))
        return Dispatch(look_at - now, expired, tuple(kicks))

    def unkick(self, partition: str, kicks: Sequence[tuple[Kind, str]]) -> int:
        recorded = self._at(partition, 0)[0].kicks
        return sum(recorded.pop(kind + kick, None) is not None for kind, kick in kicks)

    def stop(self, partitions: Sequence[str], worker: str, now: int | None = None) -> None:
        for name in partitions:
            partition, at = self._at(name, now)
            forgotten = at - 2 * self.terms.max_run
            partition.stopping = {each: since for each, since in partition.stopping.items() if since > forgotten}
            partition.stopping[worker] = at

    # Reading.

    def peek(self, address: Address, first: int = 0, last: int = 99) -> View | None:
        partition, _ = self._at(address.partition, 0)
        session = partition.sessions.get(address.digest)
        if session is None:
            return None
        end = len(session.waiting) if last == -1 else last + 1
        return View(
            partition.due.get(address.digest),
            partition.leased.get(address.digest),
            len(session.waiting),
            session.batch_id,
            session.attempt,
            session.fence,
            tuple(session.batch),
            tuple(session.waiting[first:end]),
        )

    def letters(self, partition: str, first: int = 0, last: int = 99) -> list[Letter]:
        listed: list[tuple[int, str]] = []
        letters = self._at(partition, 0)[0].letters
        for letter in letters.values():
            insort(listed, (letter.at, letter.id))
        return [letters[id] for _, id in listed][first : None if last == -1 else last + 1]

    def redrive(self, id: str, address: Address, debounce: int, max_wait: int, now: int | None = None) -> int:
        partition, now = self._at(address.partition, now)
        found = partition.letters.pop(id, None)
        if found is None:
            return 0
        session = partition.sessions.setdefault(address.digest, Session(found.session, debounce, max_wait))
        if not session.waiting:
            session.deadline_at = now
        for element in found.elements:
            header, payload = unpack(element)
            flags = "r" + header.flags.replace("r", "").replace("-", "")
            session.waiting.append(pack(replace(header, flags=flags, key=id), payload))
            session.bytes += header.size
        partition.counts["dead"] -= len(found.elements)
        self._look(session)
        if not session.batch_id and address.digest not in partition.stopped:
            self._arm(partition, address.digest, session, now)
        return len(found.elements)

    def stats(self, partitions: Sequence[str]) -> list[Depths]:
        depths = []
        for name in partitions:
            found, _ = self._at(name, 0)
            depths.append(
                Depths(
                    dict(found.counts),
                    len(found.due),
                    len(found.leased),
                    len(found.stopped),
                    len(found.kicks),
                    min(found.due.values(), default=None),
                )
            )
        return depths
