"""A store with everything around it: producers, broker, dispatcher, workers, people, time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from celery_inbox.element import Kind
from celery_inbox.store.moves import Claim, Plan
from model.case import LEASE, MAX_ATTEMPTS, PAUSE, Case
from model.promises import Broken
from model.watched import Watched

Step = tuple[str | int, ...]
"""What happens next: its name, then whom it concerns."""


class Kick(NamedTuple):
    """A kick in the broker, or in the hands of a worker."""

    partition: str
    kind: Kind
    id: str


class Call(NamedTuple):
    """A call of a worker to the store; it can be sent twice, and arrive after its caller has gone on."""

    move: str
    """claim, ack, nack or cancel."""
    plan: Plan
    token: str = ""
    """Of the claim that it makes; empty when it makes none."""
    kick: Kick | None = None
    claim: Claim | None = None
    """That it settles."""


@dataclass
class Worker:
    """One slot: idle, in a call, or running a handler."""

    name: str
    follows: bool
    """Does its ack claim the next batch?"""
    call: Call | None = None
    claim: Claim | None = None
    """What its handler runs."""
    stopping: bool = False


@dataclass
class World:
    """One state of everything; each step leads to another one."""

    case: Case
    inbox: Watched = field(init=False)
    workers: list[Worker] = field(init=False)
    sent: list[int] = field(init=False)
    broker: list[Kick] = field(default_factory=list)
    late: list[Call] = field(default_factory=list)
    """Calls whose caller waits no longer, and that Redis has not seen yet."""
    counted: dict[str, int] = field(default_factory=dict)
    """Kicks that a dispatcher has counted in the broker, and has not told the partition of yet."""
    faults: int = 0
    steered: int = 0

    def __post_init__(self) -> None:
        self.inbox = Watched(self.case)
        self.workers = [Worker(f"w{number}", number % 2 == 0) for number in range(self.case.workers)]
        self.sent = [0] * len(self.case.producers)

    # What can happen.

    def steps(self) -> Iterator[Step]:
        """Everything that can happen next."""
        yield from self._of_producers()
        for number in range(len(self.workers)):
            yield from self._of_worker(number)
        yield from self._of_dispatcher()
        yield ("tick",)
        yield from (("late call", number) for number in range(len(self.late)))
        if self.faults < self.case.faults:
            yield from self._of_broker()
        if self.steered < self.case.steered and any(self.sent):
            for which in range(len(self.case.addresses)):
                yield from ((how, which) for how in self.case.steering)

    def _of_producers(self) -> Iterator[Step]:
        for number, said in enumerate(self.case.producers):
            if self.sent[number] < len(said):
                yield "send", number
            if self.sent[number] and self.faults < self.case.faults:
                yield "send again", number

    def _of_worker(self, number: int) -> Iterator[Step]:
        worker, may_fail = self.workers[number], self.faults < self.case.faults
        if worker.call:
            yield "call", number
            if may_fail:
                yield from (("call, reply lost", number), ("call, too late", number), ("crash", number))
        elif worker.claim:
            yield from (("return", number), ("raise", number))
            if self.inbox.is_cancelled(worker.claim):
                yield "obey cancel", number
            if self._lease_left(worker.claim):
                yield "renew", number
            if may_fail:
                yield "crash", number
                for move in ("return", "raise"):
                    yield from ((f"{move}, reply lost", number), (f"{move}, too late", number))
                if not worker.stopping:
                    yield "stop", number
        elif not self._is_like_an_earlier_one(number):
            for kick in range(len(self.broker)):
                yield "take", number, kick
                if may_fail:
                    yield from (("take, reply lost", number, kick), ("take, too late", number, kick))

    def _is_like_an_earlier_one(self, number: int) -> bool:
        """Two idle workers of a kind would do the same."""
        idle = [each.follows for each in self.workers[:number] if not each.call and not each.claim]
        return self.workers[number].follows in idle

    def _lease_left(self, claim: Claim) -> bool:
        """Would a renewal change something?"""
        expected = self.inbox.expected[claim.address.digest]
        return not self.inbox._holds(claim) or expected.lease_end < self.inbox.now + self.inbox.store.terms.lease

    def _of_dispatcher(self) -> Iterator[Step]:
        may_fail = self.faults < self.case.faults
        for number, name in enumerate(self.case.partitions):
            if name in self.counted:
                yield "recount", number
            else:
                yield "dispatch", number
                if self.has_old_kicks(name):
                    # What a worker has fetched and not begun is no longer counted.
                    yield from (("count", number, queued) for queued in range(self.queued(name) + 1))
            if self.inbox.partition(name).leased:
                yield "reclaim", number
            if may_fail:
                yield from (("dispatch, broker away", number), ("after an outage", number))

    def has_old_kicks(self, partition: str) -> bool:
        """Are there kicks that nobody took for a lease? Then the dispatcher counts."""
        return any(at <= self.inbox.now - LEASE for at in self.inbox.partition(partition).kicks.values())

    def queued(self, partition: str) -> int:
        """Kicks of a partition in the broker."""
        return sum(kick.partition == partition for kick in self.broker)

    def _of_broker(self) -> Iterator[Step]:
        for number in range(len(self.broker)):
            yield from (("lose kick", number), ("double kick", number))

    # Let it happen.

    FAULTS = frozenset(
        {"send again", "crash", "stop", "lose kick", "double kick", "dispatch, broker away", "after an outage"}
        | {f"{move}, {how}" for move in ("take", "call", "return", "raise") for how in ("reply lost", "too late")}
    )

    def take(self, step: Step) -> None:
        """Let a step happen, and look at what came of it.

        Raises:
            Broken: A promise does not hold any more.
        """
        name, *whom = step
        number = int(whom[0]) if whom else 0
        self.faults += name in self.FAULTS
        if name in self.case.steering:
            self.steered += 1
            place = self.case.addresses[number]
            self.inbox.steer(place, str(name), PAUSE if name == "pause for" else 0)
        else:
            move, _, how = str(name).partition(", ")
            getattr(self, "_" + move.replace(" ", "_"))(*whom, *([how] if how else []))
        try:
            self.inbox.check()
        except KeyError as error:
            raise Broken(f"unknown session {error}") from error

    def _tick(self) -> None:
        self.inbox.now += 1

    def _send(self, number: int) -> None:
        self.inbox.send(self.case.producers[number][self.sent[number]])
        self.sent[number] += 1

    def _send_again(self, number: int) -> None:
        self.inbox.send(self.case.producers[number][self.sent[number] - 1])

    # Broker.

    def _lose_kick(self, number: int) -> None:
        del self.broker[number]

    def _double_kick(self, number: int) -> None:
        self.broker.append(self.broker[number])

    # Workers.

    def _plan(self, worker: Worker, kind: Kind) -> Plan:
        return Plan(kind, MAX_ATTEMPTS, self.case.on_exhausted, worker.name, self.case.on_cancel)

    def _take(self, number: int, which: int, how: str = "") -> None:
        """Run a kick: a worker that has one and has not called yet is like one that has none."""
        worker, kick = self.workers[number], self.broker.pop(which)
        worker.call = Call("claim", self._plan(worker, kick.kind), self.inbox.next_name("token"), kick)
        self._call(number, how)

    def _return(self, number: int, how: str = "") -> None:
        """The handler has returned; between that and the call nobody sees a difference."""
        worker = self.workers[number]
        self._settle(worker, "ack", self.inbox.next_name("token") if worker.follows else "")
        self._call(number, how)

    def _raise(self, number: int, how: str = "") -> None:
        self._settle(self.workers[number], "nack")
        self._call(number, how)

    def _obey_cancel(self, number: int) -> None:
        self._settle(self.workers[number], "cancel")
        self._call(number)

    def _settle(self, worker: Worker, move: str, token: str = "") -> None:
        assert worker.claim is not None
        worker.call = Call(move, self._plan(worker, worker.claim.kind), token, None, worker.claim)
        worker.claim = None

    def _call(self, number: int, how: str = "") -> None:
        """Send a call; a caller without a reply sends it again, whether Redis has seen it, has not, or will."""
        worker = self.workers[number]
        assert worker.call is not None
        if how == "too late":
            self.late.append(worker.call)
            return
        claim = self._carry_out(worker.call)
        if how == "reply lost":
            return
        worker.call, worker.claim = None, claim
        if claim is None and worker.stopping:
            self._start_anew(worker)

    def _carry_out(self, call: Call) -> Claim | None:
        if call.move == "claim":
            assert call.kick is not None
            return self.inbox.claim(call.kick.partition, call.token, call.plan, call.kick.id)
        assert call.claim is not None
        if call.move == "ack":
            return self.inbox.ack(call.claim, call.token, call.plan).next
        if call.move == "nack":
            self.inbox.nack(call.claim)
        else:
            self.inbox.cancel_own(call.claim)
        return None

    def _late_call(self, number: int) -> None:
        self._carry_out(self.late.pop(number))

    def _renew(self, number: int) -> None:
        claim = self.workers[number].claim
        assert claim is not None
        self.inbox.renew(claim)

    def _stop(self, number: int) -> None:
        worker = self.workers[number]
        self.inbox.stop(self.case.partitions, worker.name)
        worker.stopping = True

    def _crash(self, number: int) -> None:
        self._start_anew(self.workers[number])

    def _start_anew(self, worker: Worker) -> None:
        worker.name, worker.call, worker.claim, worker.stopping = self.inbox.next_name("w"), None, None, False

    # Dispatchers.

    def _dispatch(self, number: int, how: str = "", queued: int = -1) -> None:
        """Ask what a partition needs, and publish it; to die in between is to publish and to lose."""
        name = self.case.partitions[number]
        kicks = self.inbox.dispatch(name, queued).kicks
        if how == "broker away":
            self.inbox.store.unkick(name, kicks)
        else:
            self.broker += [Kick(name, kind, id) for kind, id in kicks]

    def _count(self, number: int, queued: int) -> None:
        self.counted[self.case.partitions[number]] = queued

    def _recount(self, number: int) -> None:
        self._dispatch(number, "", self.counted.pop(self.case.partitions[number]))

    def _reclaim(self, number: int) -> None:
        self.inbox.reclaim(self.case.partitions[number])

    def _after_an_outage(self, number: int) -> None:
        self.inbox.reclaim(self.case.partitions[number], outage=True)
