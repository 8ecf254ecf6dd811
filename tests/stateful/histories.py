"""Random histories of one partition, told to both stores at once."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from celery_inbox.element import COMMAND, MESSAGE, CorruptElement, Kind, NewerElement, unpack
from celery_inbox.settings import Settings
from celery_inbox.store.keys import Address, address
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import Claim, Outgoing, Plan, Store, Terms
from celery_inbox.store.redis import RedisStore
from store.scene import T0
from store.snapshot import Snapshot, leaks, snapshot, sweep

Reply = TypeVar("Reply")

# Longer than any run of a test: what Redis lets expire by its own clock must not expire in the middle of a history.
SETTINGS = st.builds(
    Settings,
    max_batch=st.sampled_from([2, 3, 5]),
    max_bytes=st.sampled_from([60, 1000]),
    max_pending=st.sampled_from([5, 12]),
    max_pending_bytes=st.sampled_from([150, 1000]),
    max_message_bytes=st.just(100),
    overflow=st.sampled_from(["reject", "drop_oldest"]),
    active_window=st.sampled_from([None, 150]),
    min_interval=st.sampled_from([0, 70]),
    dedup_ttl=st.just(500),
    max_ids=st.sampled_from([3, 100]),
    lease=st.just(200),
    dispatch_interval=st.just(50),
    max_dead=st.sampled_from([1, 3]),
    max_run=st.just(600),
    partitions=st.just(1),
)
PAUSES = st.sampled_from([0, 0, 1, 5_000, 15_000, 30_000, 40_000, 90_000, 210_000])
SESSIONS = st.sampled_from("aab")
KINDS: st.SearchStrategy[Kind] = st.sampled_from(["m", "m", "m", "c"])
WORKERS = st.sampled_from(["w0", "w1", "w2"])
PLANS = st.builds(
    Plan,
    kind=KINDS,
    max_attempts=st.integers(1, 3),
    on_exhausted=st.sampled_from(["park", "hold", "isolate"]),
    worker=WORKERS,
    on_cancel=st.sampled_from(["ack", "rejoin"]),
)
SAID = st.fixed_dictionaries(
    {
        "pause": st.sampled_from([0, 0, 1, 5_000, 40_000]),
        "repeat": st.integers(0, 7),
        "generated": st.booleans(),
        "size": st.sampled_from([8, 8, 20, 50, 99]),
        "debounce": st.sampled_from([0, 30_000, 30_000, 60_000]),
        "max_wait": st.sampled_from([100_000, 200_000]),
        "kind": st.sampled_from(["m", "m", "m", "m", "c"]),
        "active": st.sampled_from([True, True, False]),
        "key": st.sampled_from(["-", "-", "-", "k1"]),
        "flush": st.sampled_from([False, False, False, True]),
    }
)
BACK = st.sampled_from([0, 0, 0, 0, 1, 2, 3])
"""How far back in the history: 0 is the latest that is still held."""
RARELY = st.sampled_from([True, False, False, False])
FOREIGN = st.sampled_from([b"junk", b"1 m a 1 x - id {}", b"2 from the future", b""])


def claim_next(store: Store, token: str, plan: Plan, machine: Histories) -> Claim | None:
    """Claim at the machine's time."""
    return store.claim("0", token, plan, "", machine.now)


class Histories(RuleBasedStateMachine):
    """Every move goes to both stores; answers and all that is kept must be the same."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.serial = 0
        self.sent: list[Outgoing] = []
        self.claims: list[Claim] = []
        self.tokens: list[str] = []
        self.kicks: list[tuple[Kind, str]] = []
        self.fence = 0
        self.planted = 0
        self.future: set[str] = set()
        self.settled: Counter[str] = Counter()
        """Highest serial of a session's settled messages."""

    @initialize(settings=SETTINGS)
    def open(self, settings: Settings) -> None:
        """Open both stores."""
        terms = Terms.of(settings)
        self.memory = MemoryStore(terms, clock=lambda: self.now)
        self.redis = RedisStore(self.url, f"history-{uuid.uuid4().hex}", "inbox", terms, socket_timeout=4)
        self.before = self.look()

    def teardown(self) -> None:
        """Let everything be handled; nothing may be stuck, and no key may be left that should not be."""
        if not hasattr(self, "redis"):
            return
        try:
            self.finish()
            assert leaks(self.redis) == []
        finally:
            sweep(self.redis)

    def finish(self) -> None:
        """Handle what is left with a worker that does not fail."""
        for turn in range(200):
            if set(self.before.sessions) <= self.future:
                return
            self.now += 100_000
            for session in "ab":
                self.let_go_on(session)
            self.both(lambda store: store.reclaim("0", False, self.now))
            for kind in (MESSAGE, COMMAND):
                self.handle_one(Plan(kind, worker="last"), f"last-{turn}-{kind}")
            self.before = self.look()
        raise AssertionError(f"stuck: {self.before}")

    def let_go_on(self, session: str) -> None:
        """End a pause or a hold."""
        self.both(lambda store: store.resume(address(session, 1), self.now))

    def handle_one(self, plan: Plan, token: str) -> None:
        """Claim and ack."""
        claim = self.both(lambda store: store.claim("0", token, plan, "", self.now))
        if claim:
            self.claimed(claim)
            self.both(lambda store: store.ack(claim, "", None, self.now))

    # Both stores, and what must hold after every move.

    def look(self) -> Snapshot:
        """Read both stores."""
        memory, redis = snapshot(self.memory), snapshot(self.redis)
        assert memory == redis, f"the stores differ:\nmemory {memory}\nredis  {redis}"
        memory.check()
        return memory

    def both(self, move: Callable[[Store], Reply]) -> Reply:
        """Make a move in both stores."""
        expected, answer = move(self.memory), move(self.redis)
        assert answer == expected, f"the answers differ:\nmemory {expected}\nredis  {answer}"
        return expected

    def move(
        self,
        pause: int,
        move: Callable[[Store], Reply],
        stored: int = 0,
        deleted: Callable[[Reply], int] = lambda _: 0,
    ) -> Reply:
        """Let time pass, make a move, and account for every message."""
        self.now += pause
        reply = self.both(move)
        after = self.look()
        came = stored if getattr(reply, "status", "") == "accepted" else 0
        self.account(self.before, after, came, deleted(reply))
        self.check_order(after)
        self.before = after
        assert self.both(lambda store: store.stats(["0"]))
        return reply

    def account(self, before: Snapshot, after: Snapshot, stored: int, deleted: int) -> None:
        """Promise 8, message by message: what came is what was stored, what went is what the counters say."""
        old, new = serials(before), serials(after)
        assert new - old == (Counter([stored]) if stored else Counter()), f"came from nowhere: {new - old}"
        gone = old - new
        grown = Counter(after.counts)
        grown.subtract(before.counts)
        told = sum(grown[ending] for ending in ("handled", "dropped", "removed", "cancelled", "dead_evicted")) + deleted
        assert sum(gone.values()) + strangers(before) - strangers(after) == told, f"{gone} {grown}"
        assert after.missing() == -self.planted, f"promise 8: {after}"

    def check_order(self, after: Snapshot) -> None:
        """Promise 2: batch, then waiting list, in send order, behind what was settled; redriven ones apart."""
        aside = {place_in_order(element)[0] for element in after.corrupt}
        for digest in {*after.sessions, *self.before.batches}:
            line = [*after.batches.get(digest, ()), *after.waiting.get(digest, ())]
            order = [serial for serial, redriven in map(place_in_order, line) if serial and not redriven]
            assert order == sorted(set(order)), f"out of order: {line}"
            ran = [*self.before.batches.get(digest, ())]
            ended = [serial for serial, redriven in map(place_in_order, ran) if not redriven and serial not in aside]
            self.settled[digest] = max(self.settled[digest], *(each for each in [0, *ended] if each not in order))
            assert not order or order[0] > self.settled[digest], f"behind what was settled: {line}"

    def claimed(self, claim: Claim | None) -> None:
        """Remember a claim; fences grow unless it is the same claim again."""
        if claim is None or claim in self.claims:
            return
        if claim.fence <= self.fence:
            assert claim.fence in {earlier.fence for earlier in self.claims}, f"fence went back: {claim}"
        self.fence = max(self.fence, claim.fence)
        self.claims.append(claim)

    # Moves.

    @rule(session=SESSIONS, burst=st.lists(SAID, min_size=1, max_size=4))
    def send(self, session: str, burst: list[dict[str, Any]]) -> None:
        """Send a few messages."""
        for said in burst:
            self.send_one(session, **said)

    @precondition(lambda self: not self.before.sessions)
    @rule(session=SESSIONS, said=SAID)
    def begin(self, session: str, said: dict[str, Any]) -> None:
        """Send where nothing waits."""
        self.send_one(session, **said)

    def send_one(
        self, session: str, pause: int, repeat: int, generated: bool, size: int, active: bool, **given: Any
    ) -> None:
        """Send a message, or an earlier id once more with another body."""
        self.serial += 1
        id, where = f"m{self.serial}", address(session, 1)
        if repeat == 0 and self.sent:
            id, where, generated = self.sent[-1].id, self.sent[-1].address, self.sent[-1].generated
        payload = (b"%07d " % self.serial).ljust(size, b"x")
        message = Outgoing(where, id, generated, payload, flags="a" if active else "-", **given)
        self.sent.append(message)
        before = self.before
        reply = self.move(pause, lambda store: store.send(message, self.now), stored=self.serial)
        if reply.status != "accepted":
            assert self.before == before, f"{reply.status} left a trace"

    @precondition(lambda self: self.before.sessions)
    @rule(pause=PAUSES, session=SESSIONS)
    def touch(self, pause: int, session: str) -> None:
        """Type."""
        self.move(pause, lambda store: store.touch(address(session, 1), self.now))

    def token(self, again: bool) -> str:
        """A new token, or the last one once more."""
        if not again or not self.tokens:
            self.tokens.append(f"t{len(self.tokens)}")
        return self.tokens[-1]

    @precondition(lambda self: self.before.due)
    @rule(pause=PAUSES, plan=PLANS, again=st.booleans(), kicked=st.booleans())
    def claim(self, pause: int, plan: Plan, again: bool, kicked: bool) -> None:
        """Claim, sometimes by a kick, sometimes with the token of the last call."""
        token = self.token(again)
        kick = self.kicks[-1][1] if kicked and self.kicks else ""
        self.claimed(self.move(pause, lambda store: store.claim("0", token, plan, kick, self.now)))

    @precondition(lambda self: self.before.due)
    @rule(plan=PLANS)
    def claim_when_due(self, plan: Plan) -> None:
        """Wait for the next due session and claim what is due then, of either kind."""
        pause = max(min(self.before.due.values()) - self.now, 0)
        for kind in (plan.kind, COMMAND if plan.kind == MESSAGE else MESSAGE):
            token, wanted = self.token(again=False), replace(plan, kind=kind)
            claim = self.move(pause, partial(claim_next, token=token, plan=wanted, machine=self))
            self.claimed(claim)
            if claim:
                return
            pause = 0

    @precondition(lambda self: self.claims)
    @rule(pause=PAUSES, back=BACK, again=st.booleans(), follow=st.booleans(), plan=PLANS)
    def ack(self, pause: int, back: int, again: bool, follow: bool, plan: Plan) -> None:
        """Ack, sometimes a stale claim, sometimes with the next claim."""
        claim = self.earlier(back)
        token = self.token(again) if follow else ""
        self.claimed(self.move(pause, lambda store: store.ack(claim, token, plan, self.now)).next)

    @precondition(lambda self: self.claims)
    @rule(pause=PAUSES, back=BACK, delay=st.sampled_from([0, 50_000, -1]))
    def nack(self, pause: int, back: int, delay: int) -> None:
        """Fail."""
        claim = self.earlier(back)
        self.move(pause, lambda store: store.nack(claim, delay, "reason", "traceback", self.now))

    @precondition(lambda self: self.claims)
    @rule(pause=PAUSES, back=BACK)
    def release(self, pause: int, back: int) -> None:
        """Give back."""
        claim = self.earlier(back)
        self.move(pause, lambda store: store.release(claim, self.now))

    @precondition(lambda self: self.claims)
    @rule(pause=PAUSES, back=BACK)
    def renew(self, pause: int, back: int) -> None:
        """Renew."""
        claim = self.earlier(back)
        self.move(pause, lambda store: store.renew(claim, self.now))

    @precondition(lambda self: self.claims)
    @rule(pause=PAUSES, back=BACK, index=st.integers(0, 2))
    def quarantine(self, pause: int, back: int, index: int) -> None:
        """Set aside a message of a batch."""
        claim = self.earlier(back)
        if claim.elements:
            element = claim.elements[index % len(claim.elements)]
            self.move(pause, lambda store: store.quarantine(claim, element))

    def earlier(self, back: int) -> Claim:
        """A claim of the history; for 0, one that is held if there is any."""
        sessions = self.memory.partitions["0"].sessions
        held = [
            claim for claim in self.claims if getattr(sessions.get(claim.address.digest), "fence", 0) == claim.fence
        ]
        return held[-1] if held and not back else self.claims[-1 - back % len(self.claims)]

    @precondition(lambda self: self.before.leased)
    @rule(pause=PAUSES, outage=st.sampled_from([False, False, False, True]))
    def reclaim(self, pause: int, outage: bool) -> None:
        """Reclaim."""
        self.move(pause, lambda store: store.reclaim("0", outage, self.now))

    @precondition(lambda self: self.before.due or self.before.stopped)
    @rule(pause=PAUSES, slots=st.integers(1, 2))
    def dispatch(self, pause: int, slots: int) -> None:
        """Dispatch."""
        nonce = f"n{len(self.kicks)}-{self.now}"
        (needs,) = self.move(pause, lambda store: store.dispatch(["0"], nonce, slots, self.now))
        self.kicks += needs.kicks
        assert self.both(lambda store: store.stats(["0"]))[0].kicks <= 2 * 2

    @precondition(lambda self: self.kicks)
    @rule(pause=PAUSES, many=st.integers(1, 3))
    def unkick(self, pause: int, many: int) -> None:
        """Take back the latest kicks."""
        self.move(pause, lambda store: store.unkick("0", self.kicks[-many:]))

    @precondition(lambda self: self.before.sessions)
    @rule(pause=PAUSES, worker=WORKERS, really=RARELY)
    def stop(self, pause: int, worker: str, really: bool) -> None:
        """Stop a worker."""
        if not really:
            return
        self.move(pause, lambda store: store.stop(["0"], worker, self.now))

    @precondition(lambda self: self.before.letters)
    @rule(pause=PAUSES, index=st.integers(0, 2))
    def redrive(self, pause: int, index: int) -> None:
        """Bring back a dead letter."""
        letters = self.both(lambda store: store.letters("0", 0, -1))
        if letters:
            letter = letters[index % len(letters)]
            where = address(letter.session, 1)
            self.move(pause, lambda store: store.redrive(letter.id, where, 30_000, 100_000, self.now))

    # People at the CLI, and command handlers.

    @precondition(lambda self: self.before.sessions)
    @rule(pause=PAUSES, session=SESSIONS)
    def flush(self, pause: int, session: str) -> None:
        """Flush."""
        self.move(pause, lambda store: store.flush(address(session, 1), self.now))

    @precondition(lambda self: self.claims)
    @rule(back=BACK, known=st.integers(0, 3))
    def take_new(self, back: int, known: int) -> None:
        """Let what arrived meanwhile join, sometimes with the count of a call before."""
        claim = self.earlier(back)
        self.move(0, lambda store: store.take_new(claim, max(len(claim.elements) - known, 0)))

    @precondition(lambda self: self.before.sessions)
    @rule(pause=PAUSES, session=SESSIONS)
    def cancel(self, pause: int, session: str) -> None:
        """Cancel from outside."""
        self.move(pause, lambda store: store.cancel(address(session, 1), 0, self.now))

    @precondition(lambda self: self.claims)
    @rule(pause=PAUSES, back=BACK)
    def settle_cancelled(self, pause: int, back: int) -> None:
        """Look whether a claim was cancelled; settle it in any case, as a handler that stops would."""
        claim = self.earlier(back)
        self.both(lambda store: store.standing(claim))
        self.move(pause, lambda store: store.cancel(claim.address, claim.fence, self.now))

    @precondition(lambda self: self.before.sessions)
    @rule(pause=PAUSES, session=SESSIONS, duration=st.sampled_from([0, 60_000, 600_000]), really=RARELY)
    def pause_session(self, pause: int, session: str, duration: int, really: bool) -> None:
        """Pause."""
        if not really:
            return
        self.move(pause, lambda store: store.pause(address(session, 1), duration, self.now))

    @precondition(lambda self: self.before.stopped)
    @rule(pause=PAUSES, session=SESSIONS)
    def resume(self, pause: int, session: str) -> None:
        """Resume."""
        self.move(pause, lambda store: store.resume(address(session, 1), self.now))

    @precondition(lambda self: self.before.sessions)
    @rule(pause=PAUSES, session=SESSIONS, page=st.integers(1, 3), really=RARELY)
    def drop(self, pause: int, session: str, page: int, really: bool) -> None:
        """Drop, twice with one ticket, then read what was dropped."""
        if not really:
            return
        self.serial += 1
        ticket = f"ticket-{self.serial}"
        for _ in range(2):
            self.move(pause, lambda store: store.drop(address(session, 1), ticket, self.now))
        while self.both(lambda store: store.dropped("0", ticket, page)):
            pass

    @precondition(lambda self: self.sent and self.before.waiting)
    @rule(pause=PAUSES, back=BACK)
    def remove(self, pause: int, back: int) -> None:
        """Remove one of the latest messages."""
        message = self.sent[-1 - back % len(self.sent)]
        self.move(pause, lambda store: store.remove(message.address, message.id, self.now))

    @precondition(lambda self: self.sent and self.before.waiting)
    @rule(pause=PAUSES, back=BACK, size=st.sampled_from([8, 60, 99]), key=st.sampled_from(["-", "k1", "k2"]))
    def replace(self, pause: int, back: int, size: int, key: str) -> None:
        """Replace one of the latest messages."""
        message = self.sent[-1 - back % len(self.sent)]
        waiting = self.before.waiting.get(message.address.digest, ())
        serial = next((place_in_order(each)[0] for each in reversed(waiting) if id_of(each) == message.id), 0)
        other = message._replace(payload=(b"%07d " % serial).ljust(size, b"y"), key=key)
        self.move(pause, lambda store: store.replace(other, self.now))

    @precondition(lambda self: self.before.sessions)
    @rule(pause=PAUSES, session=SESSIONS, really=RARELY)
    def forget(self, pause: int, session: str, really: bool) -> None:
        """Forget."""
        if not really:
            return
        digest = address(session, 1).digest
        self.move(pause, lambda store: store.forget("0", session, digest, self.now), deleted=lambda reply: reply[1])

    @precondition(lambda self: self.before.letters)
    @rule(index=st.integers(0, 2))
    def purge(self, index: int) -> None:
        """Delete a dead letter."""
        letters = self.both(lambda store: store.letters("0", 0, -1))
        if letters:
            id = letters[index % len(letters)].id
            self.move(0, lambda store: store.purge("0", id), deleted=lambda reply: reply)

    @precondition(lambda self: self.before.sessions)
    @rule(first=st.integers(0, 3), most=st.integers(1, 4))
    def sessions(self, first: int, most: int) -> None:
        """List."""
        self.both(lambda store: store.sessions("0", first, most))

    @precondition(lambda self: self.before.sessions)
    @rule(session=SESSIONS)
    def peek(self, session: str) -> None:
        """Peek."""
        self.both(lambda store: store.peek(address(session, 1)))

    @precondition(lambda self: self.before.sessions)
    @rule(session=SESSIONS, bytes_=FOREIGN)
    def plant(self, session: str, bytes_: bytes) -> None:
        """Put bytes of another hand behind what waits."""
        where: Address = address(session, 1)
        if where.digest in self.before.waiting:
            self.memory.partitions["0"].sessions[where.digest].waiting.append(bytes_)
            self.redis.client.rpush(f"{self.redis.prefix('0')}:w:{where.digest}", bytes_)
            self.planted += 1
            if bytes_.startswith(b"2 "):
                self.future.add(where.digest)
            self.before = self.look()


def place_in_order(element: bytes) -> tuple[int, bool]:
    """Serial number of a message, and whether it was redriven; 0 for bytes of another hand."""
    try:
        header, payload = unpack(element)
    except (CorruptElement, NewerElement):
        return 0, False
    return int(payload[:7]), header.redriven


def id_of(element: bytes) -> str:
    """Id of a message; empty for bytes of another hand."""
    try:
        return unpack(element)[0].id
    except (CorruptElement, NewerElement):
        return ""


def strangers(found: Snapshot) -> int:
    """Count the bytes of another hand."""
    return sum(count for (_, element), count in found.places().items() if not place_in_order(element)[0])


def serials(found: Snapshot) -> Counter[int]:
    """Count the messages that are kept."""
    counted: Counter[int] = Counter()
    for (_, element), count in found.places().items():
        serial, _ = place_in_order(element)
        if serial:
            counted[serial] += count
    assert max(counted.values(), default=1) == 1, f"in two places: {found}"
    return counted
