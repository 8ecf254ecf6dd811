"""The in-memory store, each of whose moves is compared with what the promises say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from celery_inbox.element import unpack
from celery_inbox.store.keys import Address
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import Claim, Dispatch, Outgoing, Plan, Settled
from celery_inbox.store.partition import Partition
from model.case import BACKOFF, LEASE, MAX_ATTEMPTS, SLOTS, T0, TERMS, Case, Said
from model.promises import Expected, require


def never_asked() -> int:
    """Every move is told the time."""
    raise AssertionError("a move read the store's clock")


@lru_cache(maxsize=4096)
def id_of(element: bytes) -> str:
    """Read the id of an element."""
    return unpack(element)[0].id


def ids(elements: list[bytes] | tuple[bytes, ...]) -> list[str]:
    """Read the ids of elements."""
    return [id_of(element) for element in elements]


@dataclass
class Watched:
    """One inbox: the store, and every session as it should be."""

    case: Case
    store: MemoryStore = field(init=False)
    expected: dict[str, Expected] = field(default_factory=dict)
    now: int = T0
    fences: dict[str, int] = field(default_factory=dict)
    """Highest that was seen of each partition."""
    settled: set[tuple[str, int]] = field(default_factory=set)
    """Fences that were settled, each with its partition."""
    opened: set[str] = field(default_factory=set)
    """Batch ids that were given."""
    stopping: set[str] = field(default_factory=set)
    grace_until: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    serial: int = 0

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.case.terms, never_asked)
        self.expected = {place.digest: Expected(place, self.case) for place in self.case.addresses}

    def next_name(self, what: str) -> str:
        """Make up a name that was not used before."""
        self.serial += 1
        return f"{what}{self.serial:04}"

    def partition(self, name: str) -> Partition:
        """The store's side of a partition."""
        return self.store.partitions.get(name) or self.store._at(name)[0]

    # Producers.

    def send(self, said: Said) -> None:
        """Accept a message, once."""
        outgoing = Outgoing(said.address, said.id, False, b"{}", self.case.debounce, self.case.max_wait, said.kind)
        sent, expected = self.store.send(outgoing, self.now), self.expected[said.address.digest]
        if said.id in expected.kinds:
            require(sent.status == "duplicate", "a repeated send is a duplicate", sent)
            return
        require(sent.status == "accepted", "a send is accepted", sent)
        expected.accept(said, self.now)
        self.counts["accepted"] += 1

    # Workers.

    def claim(self, partition: str, token: str, plan: Plan, kick: str) -> Claim | None:
        """Claim for a worker."""
        claim = self.store.claim(partition, token, plan, kick, self.now)
        self._check_claim(claim, token, plan)
        return claim

    def _check_claim(self, claim: Claim | None, token: str, plan: Plan) -> None:
        held = [expected.claim for expected in self.expected.values() if expected.token == token]
        if held:
            require(claim is not None, "a repeated claim gets its reply again")
            assert claim is not None
            assert held[0] is not None
            same = (claim.fence, claim.attempt, claim.batch_id, claim.elements)
            was = (held[0].fence, held[0].attempt, held[0].batch_id, held[0].elements)
            require(same == was, "a repeated claim gets the same batch", same, was)
        elif claim is not None:
            self._check_fresh(claim, token, plan)

    def _check_fresh(self, claim: Claim, token: str, plan: Plan) -> None:
        expected, got = self.expected[claim.address.digest], ids(claim.elements)
        require(plan.worker not in self.stopping, "a worker that was told to stop claims nothing")
        require(expected.claim is None, "one batch of a session at a time", claim)
        require(not expected.is_stopped(self.now), "nothing of a stopped session is claimed", claim)
        last = self.fences.get(claim.address.partition, 0)
        require(claim.fence > last, "a fence grows with every claim", claim.fence, last)
        require(claim.kind == plan.kind, "a claim is of the kind that was asked for", claim)
        require(expected.left, "there is something to claim", claim)
        require(expected.due is not None and expected.due <= self.now, "a lull is a lull", expected, claim)
        size = expected.size or expected.next_size()
        require(got == expected.left[:size], "a batch is the oldest messages, in order", got, expected.left)
        require(claim.kind == expected.kinds[got[0]], "a command is handled as a command", claim)
        if expected.size:
            require(claim.batch_id == expected.batch_id, "a batch keeps its id", claim)
        else:
            require(claim.batch_id not in self.opened, "a batch has an id of its own", claim)
        attempt = expected.attempt + 1 if expected.size else 1
        require(claim.attempt == attempt, "attempts are counted by claims", claim, attempt)
        require(claim.attempt <= plan.max_attempts, "there are max_attempts attempts", claim)
        expected.take(claim, token, plan.worker, self.now + LEASE)
        self.fences[claim.address.partition] = claim.fence
        self.opened.add(claim.batch_id)

    def renew(self, claim: Claim) -> None:
        """Renew a lease."""
        holds = self._holds(claim)
        require(self.store.renew(claim, self.now) == holds, "only the holder renews")
        if holds:
            self.expected[claim.address.digest].lease_end = self.now + LEASE

    def _holds(self, claim: Claim) -> bool:
        holder = self.expected[claim.address.digest].claim
        return holder is not None and holder.fence == claim.fence

    def _standing(self, claim: Claim) -> str:
        return "done" if self.is_settled(claim) else "lost"

    def is_settled(self, claim: Claim) -> bool:
        """Has its holder ended this claim?"""
        return (claim.address.partition, claim.fence) in self.settled

    def _settle(self, claim: Claim) -> Expected:
        self.settled.add((claim.address.partition, claim.fence))
        return self.expected[claim.address.digest]

    def ack(self, claim: Claim, token: str, plan: Plan) -> Settled:
        """End a batch as handled."""
        holds, handled, outcome = self._holds(claim), 0, self._standing(claim)
        reply = self.store.ack(claim, token, plan, self.now)
        if holds:
            outcome, handled = "done", self._settle(claim).end(self.now)
        require(reply.outcome == outcome, "an ack is told how its batch stands", reply, outcome)
        require(reply.handled == handled, "a batch is handled once", reply, handled)
        self.counts["handled"] += handled
        require(token or reply.next is None, "who asks for nothing gets nothing")
        if token:
            self._check_claim(reply.next, token, plan)
        return reply

    def nack(self, claim: Claim) -> None:
        """End a batch as failed."""
        holds, outcome = self._holds(claim), self._standing(claim)
        reply = self.store.nack(claim, BACKOFF, "", "", self.now)
        if holds:
            expected = self._settle(claim)
            if expected.attempt < MAX_ATTEMPTS:
                outcome = "retry"
                expected.back_off(self.now + BACKOFF, self.now)
            else:
                outcome = self._exhaust(expected)
        require(reply.outcome == outcome, "a nack is told how its batch stands", reply, outcome)

    def _exhaust(self, expected: Expected) -> str:
        if self.case.on_exhausted == "hold":
            expected.held = True
            expected.back_off(self.now, self.now)
            return "held"
        self.counts["dead"] += expected.end(self.now)
        return "dead"

    def is_cancelled(self, claim: Claim) -> bool:
        """Does the holder see that somebody cancelled its batch?"""
        expected = self.expected[claim.address.digest]
        seen, should = self.store.standing(claim), "held" if self._holds(claim) else "lost"
        if self._holds(claim) and expected.cancelled:
            should = "cancelled"
        require(seen == should, "a holder is told how its batch stands", seen, should)
        return seen == "cancelled"

    def cancel_own(self, claim: Claim) -> None:
        """End a batch that was cancelled."""
        holds, outcome = self._holds(claim), self._standing(claim)
        said = self.store.cancel(claim.address, claim.fence, self.now)
        if holds:
            outcome = "done"
            self._cancelled(self._settle(claim))
        require(said == outcome, "a cancel is told how its batch stands", said, outcome)

    def _cancelled(self, expected: Expected) -> None:
        if self.case.on_cancel == "rejoin":
            expected.rejoin(self.now)
        else:
            self.counts["cancelled"] += expected.end(self.now)

    def stop(self, partitions: tuple[str, ...], worker: str) -> None:
        """Tell that a worker stops."""
        self.store.stop(partitions, worker, self.now)
        self.stopping.add(worker)

    # Dispatchers.

    def dispatch(self, partition: str, queued: int = -1) -> Dispatch:
        """Ask what a partition needs."""
        (reply,) = self.store.dispatch([partition], self.next_name("n"), SLOTS, self.now, queued)
        require(0 <= reply.look_in <= TERMS.interval, "a dispatcher looks again in time", reply)
        for expected in self._of(partition):
            if expected.left and expected.stopped and not expected.is_stopped(self.now):
                expected.arm(self.now)
        return reply

    def _of(self, partition: str) -> list[Expected]:
        return [expected for expected in self.expected.values() if expected.address.partition == partition]

    def reclaim(self, partition: str, outage: bool = False) -> None:
        """End what was not renewed."""
        if outage:
            self.grace_until[partition] = self.now + LEASE
        told = {each.address.digest: each for each in self.store.reclaim(partition, outage, self.now)}
        excused = self.grace_until.get(partition, 0) > self.now
        for expected in self._of(partition):
            over = expected.claim is not None and expected.lease_end <= self.now and not excused
            each = told.get(expected.address.digest)
            require(over == (each is not None), "a lease ends if it was not renewed, and only then", expected, each)
            if each is None:
                continue
            if expected.worker in self.stopping:
                expected.attempt -= 1
            if expected.attempt < MAX_ATTEMPTS:
                expected.back_off(self.now, self.now)
                outcome = "retry"
            else:
                outcome = self._exhaust(expected)
            require(each.outcome == outcome, "a lost batch ends as a failed one", each, outcome)

    # People.

    def steer(self, place: Address, how: str, duration: int) -> None:
        """Do what somebody asked for."""
        expected = self.expected[place.digest]
        if how in ("pause", "pause for"):
            self.store.pause(place, duration, self.now)
            expected.pause(self.now + duration if duration else 0, self.now)
        elif how == "resume":
            self.store.resume(place, self.now)
            expected.resume(self.now)
        elif how == "drop":
            dropped = self.store.drop(place, self.next_name("t"), self.now)
            should = expected.drop(self.now)
            require(dropped == should, "a drop takes what waits and no running batch", dropped, should)
            self.counts["dropped"] += dropped
        elif how == "cancel":
            self._cancel(place, expected)

    def _cancel(self, place: Address, expected: Expected) -> None:
        said = self.store.cancel(place, 0, self.now)
        if expected.claim:
            should, expected.cancelled = "marked", True
        elif expected.size:
            should = "done"
            self._cancelled(expected)
        else:
            should = "nothing"
        require(said == should, "a cancel is of the open batch", said, should)

    # What must always hold.

    def check(self) -> None:
        """Compare all that the store keeps with what it should keep."""
        for expected in self.expected.values():
            self._check_session(expected)
        found: dict[str, int] = {}
        for partition in self.store.partitions.values():
            known = {expected.address.digest for expected in self._of(partition.name) if expected.left}
            for kept in (partition.sessions, partition.due, partition.leased, partition.stopped):
                require(kept.keys() <= known, "nothing is left of a session without messages", kept)
            held = {each.token: each.address.digest for each in self._of(partition.name) if each.claim}
            require(partition.holders == held, "who holds is who claimed", partition.holders, held)
            for name, count in partition.counts.items():
                if count and name[:5] not in ("laten", "size_"):
                    found[name] = found.get(name, 0) + count
        require(
            found == {name: count for name, count in self.counts.items() if count},
            "what was accepted is counted",
            found,
            self.counts,
        )
        ended = sum(self.counts[name] for name in ("handled", "dead", "dropped", "cancelled"))
        left = sum(len(expected.left) for expected in self.expected.values())
        require(self.counts["accepted"] == ended + left, "nothing accepted is lost", self.counts, left)

    def _check_session(self, expected: Expected) -> None:
        partition, digest = self.partition(expected.address.partition), expected.address.digest
        session = partition.sessions.get(digest)
        if not expected.left:
            require(session is None, "a session without messages leaves nothing", session)
            return
        require(session is not None, "nothing accepted is lost", expected)
        assert session is not None
        batch, waiting = ids(session.batch), ids(session.waiting)
        require(batch == expected.left[: expected.size], "the open batch stays as it is", batch, expected)
        require(waiting == expected.waiting, "what waits is what came, in order", waiting, expected)
        sets = [digest in kept for kept in (partition.due, partition.leased, partition.stopped)]
        require(sum(sets) == 1, "a session with messages is due, leased or stopped", sets, expected)
        fence = expected.claim.fence if expected.claim else None
        require(session.fence == fence, "who holds is who claimed", session.fence, expected)
        lease_end = expected.lease_end if expected.claim else None
        require(
            partition.leased.get(digest) == lease_end, "a lease ends when it was said to", partition.leased, expected
        )
        if session.batch:
            seen = (session.batch_id, session.attempt)
            require(seen == (expected.batch_id, expected.attempt), "a batch keeps its id and attempt", seen, expected)
        if not expected.claim:
            require((digest in partition.stopped) == expected.stopped, "who is stopped is stopped", sets, expected)
            due = max(partition.due.get(digest, -1), self.now if digest in partition.due else -1)
            should = -1 if expected.due is None else max(expected.due, self.now)
            require(due == should, "a lull is a lull", due, should, expected)

    def unsettled(self) -> list[str]:
        """Every id that was accepted and is not settled."""
        return list(chain.from_iterable(expected.left for expected in self.expected.values()))
