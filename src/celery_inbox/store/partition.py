"""A partition in memory: its sessions, and the steps that the moves share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from celery_inbox.element import COMMAND, MESSAGE, CorruptElement, Header, Kind, NewerElement, pack, unpack
from celery_inbox.store.keys import Address
from celery_inbox.store.moves import (
    LATENESS,
    LOOK_AT,
    MOST_CORRUPT,
    MOST_EVICTED,
    MOST_REMEMBERED,
    NEVER,
    SETTLED_TTL,
    SIZES,
    Claim,
    Exhausted,
    Letter,
    Plan,
    Settled,
    Terms,
    bucket,
)


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

    # The open batch; fence, token and cancelled only while somebody holds it.
    batch_id: str | None = None
    kind: Kind = MESSAGE
    attempt: int = 0
    retry_at: int = 0
    held: bool = False
    fence: int | None = None
    token: str | None = None
    cancelled: bool = False
    plan: Plan = field(default_factory=Plan)
    due_at: int = 0
    claimed_at: int = 0

    @property
    def next_kind(self) -> Kind:
        """Kind of the batch that runs next."""
        return self.kind if self.batch_id else self.head


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


def read(element: bytes) -> Header | Literal["newer", "corrupt"]:
    """The header of an element, or why there is none for us."""
    try:
        return unpack(element)[0]
    except NewerElement:
        return "newer"
    except CorruptElement:
        return "corrupt"


def marked(element: bytes, flag: str, key: str | None = None) -> bytes:
    """An element with another flag in front of its own, and another key."""
    header, payload = unpack(element)
    flags = flag + header.flags.replace("i", "").replace("-", "").replace(flag or "-", "")
    return pack(replace(header, flags=flags or "-", key=key or header.key), payload)


@dataclass
class Partition:
    """A slice of sessions: each is in exactly one of due, leased and stopped."""

    name: str
    terms: Terms
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
    pauses: dict[str, int] = field(default_factory=dict)
    stopping: dict[str, int] = field(default_factory=dict)
    looked_at: int | None = None
    letters: dict[str, Letter] = field(default_factory=dict)
    dropped: dict[str, list[bytes]] = field(default_factory=dict)
    corrupt: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    fence: int = 0
    grace_until: int = 0

    # When may a session's next batch start? The one due function.

    def due_at(self, digest: str, now: int) -> int | None:
        session = self.sessions[digest]
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
        return at if session.head == COMMAND else max(at, self.rests.get(digest, 0))

    def stopped_until(self, digest: str, now: int) -> int | None:
        until = NEVER if self.sessions[digest].held else self.pauses.get(digest)
        return until if until is not None and until > now else None

    def arm(self, digest: str, now: int) -> int | None:
        """Put a session that nobody holds where it belongs: in one set, or nowhere."""
        at = self.due_at(digest, now)
        if at is None:
            self.due.pop(digest, None)
            self.stopped.pop(digest, None)
            del self.sessions[digest]
            return None
        stop_ends_at = self.stopped_until(digest, now)
        if stop_ends_at is not None:
            self.due.pop(digest, None)
            self.stopped[digest] = stop_ends_at
            return None
        was = self.due.get(digest)
        if was is not None and was <= now:
            return was
        self.stopped.pop(digest, None)
        self.due[digest] = at
        return at

    def arm_no_later(self, digest: str, now: int) -> None:
        """Dropping, removing or replacing never makes a batch later."""
        was = self.due.get(digest)
        at = self.arm(digest, now)
        if was is not None and at is not None:
            self.due[digest] = min(was, at)

    def longest_due(self, now: int, most: int) -> list[str]:
        ripe = sorted((at, digest) for digest, at in self.due.items() if at <= now)
        return [digest for _, digest in ripe[:most]]

    def look(self, session: Session) -> None:
        """Would the waiting messages be cut somewhere, whatever comes later?"""
        session.closed, session.active, session.key, session.head = False, False, "-", MESSAGE
        first = read(session.waiting[0])
        if isinstance(first, str):
            session.closed = True
            return
        session.key, session.head = first.key, first.kind
        full = len(session.waiting) >= self.terms.max_batch or session.bytes >= self.terms.max_bytes
        if first.kind == COMMAND or first.redriven or first.isolated or full:
            session.closed = True
            return
        for element in session.waiting:
            each = read(element)
            if isinstance(each, str) or each.kind == COMMAND or each.key != first.key:
                session.closed = True
                return
            session.active = session.active or each.active

    # Claiming.

    def claim_next(self, token: str, plan: Plan, now: int) -> Claim | None:
        """Take the longest-due session and its batch."""
        if token in self.holders:
            return self.claimed(self.holders[token])
        if plan.worker in self.stopping:
            return None
        for digest in self.longest_due(now, LOOK_AT):
            session = self.sessions[digest]
            if session.batch_id:
                if session.kind == plan.kind:
                    return self.hold(digest, token, plan, now)
            elif session.head == plan.kind:
                moved, newer = self.cut(session, plan.kind, self.terms.max_batch)
                self.leave(session)
                if moved:
                    return self.hold(digest, token, plan, now)
                self.arm(digest, now)
                if newer:
                    self.due[digest] = now + self.terms.lease
        return None

    def cut(self, session: Session, kind: Kind, most: int, key: str | None = None) -> tuple[int, bool]:
        """Move the oldest messages to the batch until a limit, a command or another key."""
        moved, size = 0, 0
        for _ in range(most + LOOK_AT):
            if not session.waiting or moved >= most:
                break
            head = read(session.waiting[0])
            if head == "newer":
                if moved == 0:
                    self.counts["newer"] += 1
                    return 0, True
                break
            if isinstance(head, str):
                self.set_aside(session.waiting.pop(0))
                continue
            if moved == 0 and head.kind != kind:
                break
            if key is not None and head.key != key:
                break
            if moved and (head.kind == COMMAND or size + head.size > self.terms.max_bytes):
                break
            session.batch.append(session.waiting.pop(0))
            session.kind = head.kind
            moved, size, key = moved + 1, size + head.size, head.key
            if head.kind == COMMAND:
                break
        session.bytes -= size
        session.flush = max(session.flush - moved, 0)
        return moved, False

    def set_aside(self, element: bytes) -> None:
        """Set aside an element that cannot be read; the oldest makes room."""
        self.corrupt.append(element)
        self.counts["quarantined"] += 1
        if len(self.corrupt) > MOST_CORRUPT:
            del self.corrupt[0]
            self.counts["corrupt_evicted"] += 1

    def leave(self, session: Session) -> None:
        """Describe what stayed behind, for the moves that arm the session later."""
        if not session.waiting:
            session.bytes, session.flush, session.closed, session.active = 0, 0, False, False
            session.key, session.head = "-", MESSAGE
            return
        self.look(session)
        first = read(session.waiting[0])
        if isinstance(first, Header):
            session.deadline_at = first.at + session.max_wait

    def hold(self, digest: str, token: str, plan: Plan, now: int) -> Claim:
        session = self.sessions[digest]
        session.due_at, session.claimed_at = self.due.pop(digest), now
        session.fence = self.fence = max(self.fence + 1, now)
        session.attempt += 1
        if session.batch_id is None:
            first = unpack(session.batch[0])[0]
            session.batch_id = first.key if first.isolated else f"{self.name}-{session.fence}"
            self.counts[f"lateness_{bucket(LATENESS, now - session.due_at)}"] += 1
            self.counts[f"size_{bucket(SIZES, len(session.batch))}"] += 1
        if "/" in session.batch_id:
            # Named after the batch it was part of: it has had its attempts.
            plan = replace(plan, max_attempts=1, on_exhausted="park")
        session.token, session.plan = token, plan
        self.leased[digest] = now + self.terms.lease
        self.holders[token] = digest
        if self.terms.min_interval > 0 and session.kind == MESSAGE:
            self.rests[digest] = now + self.terms.min_interval
        return self.claimed(digest)

    def claimed(self, digest: str) -> Claim:
        session = self.sessions[digest]
        assert session.fence is not None
        assert session.batch_id is not None
        return Claim(
            Address(self.name, digest, session.name),
            session.fence,
            session.attempt,
            session.batch_id,
            session.kind,
            session.due_at,
            session.claimed_at,
            tuple(session.batch),
        )

    # Settling.

    def standing(self, digest: str, fence: int, now: int) -> Literal["held", "done", "lost"]:
        """Is the batch held by this fence, settled by it before, or lost?"""
        session = self.sessions.get(digest)
        if session is not None and session.fence == fence:
            return "held"
        return "done" if self.settled.holds(str(fence), now, SETTLED_TTL) else "lost"

    def remember_settled(self, fence: int, now: int) -> None:
        self.settled.add(str(fence), now, SETTLED_TTL, MOST_REMEMBERED)

    def let_go(self, digest: str) -> None:
        """The holder is cleared; the batch stays."""
        session = self.sessions[digest]
        self.leased.pop(digest, None)
        self.holders.pop(session.token or "", None)
        session.fence, session.token, session.cancelled = None, None, False

    def back_off(self, digest: str, retry_at: int, now: int) -> None:
        """The batch may be tried again at retry_at."""
        self.let_go(digest)
        self.sessions[digest].retry_at = retry_at
        self.arm(digest, now)

    def close_batch(self, digest: str, now: int) -> None:
        """The batch is over; the next one may come."""
        self.let_go(digest)
        session = self.sessions[digest]
        session.batch, session.batch_id, session.attempt, session.held = [], None, 0, False
        self.arm(digest, now)

    def exhaust(self, digest: str, now: int, reason: str, traceback: str, on_exhausted: str) -> Settled:
        """The last attempt has failed: set the batch aside, stop the session, or try the messages one by one."""
        session = self.sessions[digest]
        id = session.batch_id
        outcome: Exhausted = "dead"
        evicted: tuple[str, ...] = ()
        if on_exhausted == "hold":
            outcome, session.held = "held", True
            self.back_off(digest, now, now)
        elif on_exhausted == "isolate" and len(session.batch) > 1:
            outcome = "isolated"
            self.put_back(session, "i", f"{id}/")
            session.closed, session.key, session.head = True, f"{id}/1", MESSAGE
            self.close_batch(digest, now)
        else:
            evicted = self.bury(digest, now, reason, traceback)
        return Settled(outcome, dead_id=id if outcome == "dead" else None, evicted=evicted)

    def put_back(self, session: Session, flag: str, key: str | None) -> None:
        """Put the messages of the batch back in front of those that wait."""
        back = [
            marked(element, flag, None if key is None else f"{key}{number}")
            for number, element in enumerate(session.batch, 1)
        ]
        session.waiting[:0] = back
        session.bytes += sum(unpack(element)[0].size for element in back)
        session.batch = []
        if session.flush > 0:
            session.flush += len(back)

    def bury(self, digest: str, now: int, reason: str, traceback: str) -> tuple[str, ...]:
        """Set the batch aside under its own id; the oldest dead letters make room."""
        session = self.sessions[digest]
        id = session.batch_id or ""
        self.letters[id] = Letter(
            id, session.name, now, session.attempt, reason, traceback, session.kind, tuple(session.batch)
        )
        self.counts["dead"] += len(session.batch)
        excess = max(len(self.letters) - self.terms.max_dead, 0)
        evicted = sorted(self.letters.values(), key=lambda letter: (letter.at, letter.id))[: min(excess, MOST_EVICTED)]
        for letter in evicted:
            self.counts["dead_evicted"] += len(self.letters.pop(letter.id).elements)
        self.close_batch(digest, now)
        return tuple(letter.id for letter in evicted)

    def settle_cancelled(self, digest: str, now: int) -> None:
        """The batch counts as done, or its messages wait again as if they had just come."""
        session = self.sessions[digest]
        if session.plan.on_cancel == "rejoin":
            self.put_back(session, "", None)
            if session.waiting:
                self.look(session)
            session.active_at, session.deadline_at = now, now + session.max_wait
        else:
            self.counts["cancelled"] += len(session.batch)
        self.close_batch(digest, now)

    # Editing what waits.

    def find(self, session: Session, id: str) -> tuple[int, Header] | None:
        """Find a waiting message by its id; the newest, should it have been forgotten and used again."""
        for index in reversed(range(len(session.waiting))):
            header = read(session.waiting[index])
            if isinstance(header, Header) and header.id == id:
                return index, header
        return None

    def settle_edit(self, digest: str, now: int) -> None:
        """What stays waits as it did: what was closed stays closed, and no batch becomes later."""
        session = self.sessions[digest]
        closed = session.closed
        if session.waiting:
            self.look(session)
        session.closed = session.closed or closed
        session.flush = min(session.flush, len(session.waiting))
        if session.batch_id:
            return
        if digest not in self.stopped:
            self.arm_no_later(digest, now)
        elif not session.waiting:
            self.arm(digest, now)
