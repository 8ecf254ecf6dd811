"""A store on a clock that the test sets, checked after every move."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from celery_inbox.element import COMMAND, MESSAGE, Header, Kind, pack, unpack
from celery_inbox.store.keys import Address, address
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import (
    Claim,
    Depths,
    Dispatch,
    Letter,
    Outgoing,
    Plan,
    Reclaimed,
    Sent,
    Settled,
    Store,
    View,
)
from celery_inbox.store.redis import RedisStore
from store.snapshot import Snapshot, snapshot

T0 = 1_700_000_000_000
"""When a scene opens, Unix ms. Far behind the server's own clock, so that a move which reads that one is found out."""
DEBOUNCE = 1_000
"""Milliseconds."""
MAX_WAIT = 10_000
"""Milliseconds."""


class Scene:
    """One partition of a store; ``now`` moves only when the test says so."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = T0
        self._numbers = count(1)
        self._planted = False

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds

    def wait_until(self, at: int) -> None:
        """Let time pass up to an instant, given in ms since the scene opened."""
        self.now = T0 + at

    # Looking.

    def look(self) -> Snapshot:
        """Read the partition and assert what must always hold."""
        found = snapshot(self.store)
        found.check()
        if not self._planted:
            found.check_sum()
        return found

    def count(self, counter: str) -> int:
        """Read a counter of promise 8."""
        return self.stats().counts.get(counter, 0)

    def due_in(self, session: str = "s") -> int | None:
        """Milliseconds until a session is due; None when it is not among the due ones."""
        at = self.look().due.get(address(session, 1).digest)
        return None if at is None else at - self.now

    # Moves.

    def outgoing(
        self,
        id: str,
        session: str = "s",
        *,
        payload: bytes = b"{}",
        debounce: int = DEBOUNCE,
        max_wait: int = MAX_WAIT,
        kind: Kind = MESSAGE,
        active: bool = True,
        key: str = "-",
        flush: bool = False,
        generated: bool = False,
    ) -> Outgoing:
        """Build a message as the inbox would."""
        flags = "a" if active else "-"
        return Outgoing(address(session, 1), id, generated, payload, debounce, max_wait, kind, flags, key, flush)

    def send(self, id: str, session: str = "s", **given: Any) -> Sent:
        """Send a message; its id is all that most tests need to name it."""
        sent = self.store.send(self.outgoing(id, session, **given), self.now)
        self.look()
        return sent

    def command(self, id: str, session: str = "s", **given: Any) -> Sent:
        """Send a command that keeps its place in line."""
        return self.send(id, session, kind=COMMAND, **given)

    def touch(self, session: str = "s") -> int | None:
        """Say that somebody types."""
        due = self.store.touch(address(session, 1), self.now)
        self.look()
        return due

    def plan(
        self,
        kind: Kind = MESSAGE,
        max_attempts: int = 5,
        worker: str = "worker",
        on_exhausted: str = "park",
        on_cancel: str = "ack",
    ) -> Plan:
        """Build what a claim says of its handler."""
        return Plan(kind, max_attempts, on_exhausted, worker, on_cancel)

    def claim(self, token: str = "", kick: str = "", **plan: Any) -> Claim | None:
        """Claim what is due longest; a token of its own unless one is given."""
        claim = self.store.claim("0", token or self.token(), self.plan(**plan), kick, self.now)
        self.look()
        return claim

    def claimed(self, token: str = "", **plan: Any) -> Claim:
        """Claim, where there must be something to claim."""
        claim = self.claim(token, **plan)
        assert claim is not None, "nothing was due"
        return claim

    def token(self) -> str:
        """Make up a token that no other claim has."""
        return f"token-{next(self._numbers)}"

    def renew(self, claim: Claim) -> bool:
        """Extend a lease."""
        renewed = self.store.renew(claim, self.now)
        self.look()
        return renewed

    def ack(self, claim: Claim, token: str = "", **plan: Any) -> Settled:
        """End a claim as handled; with a token, claim the next."""
        settled = self.store.ack(claim, token, self.plan(**plan), self.now)
        self.look()
        return settled

    def nack(self, claim: Claim, delay: int = 0, reason: str = "ValueError", traceback: str = "trace") -> Settled:
        """End a claim as failed."""
        settled = self.store.nack(claim, delay, reason, traceback, self.now)
        self.look()
        return settled

    def release(self, claim: Claim) -> Settled:
        """Give a batch back."""
        settled = self.store.release(claim, self.now)
        self.look()
        return settled

    def reclaim(self, outage: bool = False) -> list[Reclaimed]:
        """End the leases that nobody renewed."""
        reclaimed = self.store.reclaim("0", outage, self.now)
        self.look()
        return reclaimed

    def quarantine(self, claim: Claim, element: bytes) -> bool:
        """Set aside an element of a claimed batch."""
        moved = self.store.quarantine(claim, element)
        self.look()
        return moved

    def dispatch(self, nonce: str = "k", slots: int = 1, queued: int = -1) -> Dispatch:
        """Ask what the partition needs; queued says how many old kicks still lie in the broker."""
        (needs,) = self.store.dispatch(["0"], nonce, slots, self.now, queued)
        self.look()
        return needs

    def unkick(self, *kicks: tuple[Kind, str]) -> int:
        """Take back kicks that could not be published."""
        forgotten = self.store.unkick("0", kicks)
        self.look()
        return forgotten

    def stop(self, worker: str = "worker") -> None:
        """Tell the partition that a worker stops."""
        self.store.stop(["0"], worker, self.now)
        self.look()

    def peek(self, session: str = "s", first: int = 0, last: int = 99) -> View | None:
        """Look at a session."""
        return self.store.peek(address(session, 1), first, last)

    def letters(self, first: int = 0, last: int = 99) -> list[Letter]:
        """List dead letters."""
        return self.store.letters("0", first, last)

    def redrive(self, letter: Letter) -> int:
        """Bring a dead letter back."""
        brought = self.store.redrive(letter.id, address(letter.session, 1), DEBOUNCE, MAX_WAIT, self.now)
        self.look()
        return brought

    def flush(self, session: str = "s") -> int:
        """Make what waits due now."""
        many = self.store.flush(address(session, 1), self.now)
        self.look()
        return many

    def take_new(self, claim: Claim, known: int | None = None) -> list[str] | None:
        """Let what arrived meanwhile join; its ids are the reply."""
        taken = self.store.take_new(claim, len(claim.elements) if known is None else known)
        self.look()
        return None if taken is None else ids(taken)

    def cancel(self, session: str = "s", claim: Claim | None = None) -> str:
        """Cancel from outside, or settle a cancelled claim."""
        said = self.store.cancel(address(session, 1), claim.fence if claim else 0, self.now)
        self.look()
        return said

    def pause(self, session: str = "s", duration: int = 0) -> None:
        """Stop a session."""
        self.store.pause(address(session, 1), duration, self.now)
        self.look()

    def resume(self, session: str = "s") -> bool:
        """Let a session go on."""
        was_stopped = self.store.resume(address(session, 1), self.now)
        self.look()
        return was_stopped

    def drop(self, session: str = "s", ticket: str = "ticket") -> int:
        """Take out what waits."""
        many = self.store.drop(address(session, 1), ticket, self.now)
        self.look()
        return many

    def remove(self, id: str, session: str = "s") -> bool:
        """Take one message out."""
        removed = self.store.remove(address(session, 1), id, self.now)
        self.look()
        return removed

    def replace(self, id: str, session: str = "s", **given: Any) -> str:
        """Give a message another body."""
        said = self.store.replace(self.outgoing(id, session, **given), self.now)
        self.look()
        return said

    def forget(self, session: str = "s") -> tuple[int, int]:
        """Delete everything about a session."""
        deleted = self.store.forget("0", session, address(session, 1).digest, self.now)
        self.look()
        return deleted

    def waiting(self, session: str = "s") -> list[str]:
        """Ids of what waits."""
        view = self.peek(session, last=-1)
        return ids(view.elements) if view else []

    def stats(self) -> Depths:
        """Read counters and depths."""
        (depths,) = self.store.stats(["0"])
        return depths

    # Stories that many tests begin with.

    def open_batch(self, *ids: str, session: str = "s", **plan: Any) -> Claim:
        """Send messages that are due at once, then claim them."""
        for id in ids or ("a",):
            self.send(id, session, flush=True)
        return self.claimed(**plan)

    def bury(self, *ids: str, session: str = "s") -> Letter:
        """Make a dead letter."""
        dead_id = self.nack(self.open_batch(*ids, session=session), delay=-1).dead_id
        return next(letter for letter in self.letters(0, -1) if letter.id == dead_id)

    def plant(self, element: bytes, session: str = "s", head: bool = False) -> None:
        """Put bytes into a waiting list that has messages, behind the store's back."""
        where: Address = address(session, 1)
        self._planted = True
        if isinstance(self.store, MemoryStore):
            waiting = self.store.partitions["0"].sessions[where.digest].waiting
            waiting.insert(0 if head else len(waiting), element)
        else:
            assert isinstance(self.store, RedisStore)
            push = self.store.client.lpush if head else self.store.client.rpush
            push(f"{self.store.prefix('0')}:w:{where.digest}", element)


def ids(elements: Sequence[bytes]) -> list[str]:
    """Read the ids of elements."""
    return [unpack(element)[0].id for element in elements]


def element(id: str, at: int = T0, payload: bytes = b"{}", **given: Any) -> bytes:
    """Build the bytes of a message."""
    header = {"kind": MESSAGE, "flags": "a", "key": "-", **given}
    return pack(Header(at=at, size=len(payload), id=id, **header), payload)
