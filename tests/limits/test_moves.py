"""No move holds the server for long, however much waits: 100,000 messages, 100,000 sessions, bodies of 256 KiB."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest

from celery_inbox.embedded import Server
from celery_inbox.settings import Settings
from celery_inbox.store.keys import Address, address, command_address
from celery_inbox.store.moves import Claim, Outgoing, Plan, Terms
from celery_inbox.store.redis import RedisStore
from limits.size import size
from limits.slow_log import SlowLog

MANY = size(100_000)
LETTERS = size(10_000)
BIG = b"x" * (256 << 10)
BIG_ONES = size(1_000)
"""256 MB with LIMITS=full."""
TRIES = 5
BATCHES = 3
RUNNING = 40
LATER = 1 << 50


class Scale:
    """One partition of a store, and the slow log of its server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = self.with_settings()
        self.log = SlowLog(self.store.client)
        self.numbers = count()

    def with_settings(self, **settings: Any) -> RedisStore:
        """A store of the same sessions with other settings; room for everything unless they say otherwise."""
        room = {"max_pending": 10_000_000, "max_pending_bytes": 1 << 40, "lease": 600.0, "partitions": 1}
        return RedisStore(self.url, "limits", "inbox", Terms.of(Settings(**{**room, **settings})), socket_timeout=60)

    def message(self, session: str, payload: bytes = b"{}", place: Address | None = None, **given: Any) -> Outgoing:
        return Outgoing(
            place or address(session, 1), f"m{next(self.numbers)}", False, payload, 600_000, 600_000, **given
        )

    def fill(self, session: str, many: int, payload: bytes = b"{}") -> list[str]:
        """Send; ids, oldest first."""
        messages = [self.message(session, payload) for _ in range(many)]
        for first in range(0, many, 1000):
            self.store.send_many(messages[first : first + 1000])
        return [message.id for message in messages]

    def claim(self, partition: str = "0", **plan: Any) -> Claim:
        claim = self.store.claim(partition, f"token-{next(self.numbers)}", Plan(**plan))
        assert claim is not None, "nothing was due"
        return claim

    def grown(self, session: str, **plan: Any) -> Claim:
        """A claim whose batch has grown to its limit."""
        self.store.flush(address(session, 1))
        claim = self.claim(**plan)
        for turn in range(1, 10):
            self.store.take_new(claim, turn * len(claim.elements))
        return claim

    def judge(self, name: str, move: Callable[[], Any]) -> None:
        """Judge a move that can be made again and again."""
        self.log.judge(name, [move] * TRIES)


@pytest.fixture
def scale() -> Iterator[Scale]:
    """Open a server of the test's own, for it will be large."""
    with Server() as server:
        yield Scale(server.url)


@pytest.mark.parametrize(("payload", "many"), [(b"{}", MANY), (BIG, BIG_ONES)], ids=["short", "256 KiB"])
def test_a_long_session(scale: Scale, payload: bytes, many: int) -> None:
    """Every move of a session where many messages wait, with a batch of the default size."""
    store, judge, place = scale.store, scale.judge, address("s", 1)
    once = scale.log.judge
    ids = scale.fill("s", many, payload)
    judge("send", lambda: store.send(scale.message("s", payload)))
    many_at_once = 200 if payload != BIG else 40
    judge("send_many", lambda: store.send_many([scale.message("s", payload) for _ in range(many_at_once)]))
    judge("touch", lambda: store.touch(place))
    judge("flush", lambda: store.flush(place))
    judge("pause", lambda: store.pause(place, 0))
    judge("resume", lambda: store.resume(place))
    judge("peek", lambda: store.peek(place))
    once("peek at all", [partial(store.peek, place, 0, -1)])
    view = store.peek(place, 0, -1)
    assert view is not None
    assert len(view.elements) == view.waiting
    judge("sessions", lambda: store.sessions("0"))
    judge("stats", lambda: store.stats(["0"]))
    judge("dispatch", lambda: store.dispatch(["0"], "nonce", 2))
    once("remove the newest", [partial(store.remove, place, ids.pop()) for _ in range(TRIES)])
    once("remove the oldest", [partial(store.remove, place, ids.pop(0)) for _ in range(TRIES)])
    judge("remove what is not there", lambda: store.remove(place, "nobody"))
    for name, index in (("newest", -1), ("oldest", 0)):
        edited = scale.message("s", payload)._replace(id=ids[index])
        judge(f"replace the {name}", partial(store.replace, edited))
        assert store.replace(edited) == "replaced"
    one_out = scale.with_settings(overflow="drop_oldest", max_pending=store.peek(place).waiting)  # type: ignore[union-attr]
    judge("send that drops the oldest", lambda: one_out.send(scale.message("s", payload)))

    claims: list[Claim] = []
    judge("claim and release", lambda: store.release(scale.claim()))
    claim = scale.claim()
    once("take_new", [partial(store.take_new, claim, turn * len(claim.elements)) for turn in range(1, TRIES)])
    judge("renew", lambda: store.renew(claim))
    once("quarantine", [partial(store.quarantine, claim, each) for each in claim.elements[:2]])
    judge("nack of a lost claim", partial(store.nack, replace(claim, fence=1), 0))
    once("nack", [partial(store.nack, claim, 0)])
    for _ in range(TRIES):
        claims.append(scale.claim())
        once("ack", [partial(store.ack, claims[-1])])
    following: list[Claim | None] = [scale.claim()]
    once("ack that claims the next", [lambda: following.append(ack_and_claim(scale, following[-1]))] * TRIES)
    assert all(following)
    store.release(following[-1])  # type: ignore[arg-type]
    once("drop", [partial(store.drop, place, "ticket")])
    assert store.peek(place) is None
    judge("dropped", lambda: store.dropped("0", "ticket"))
    scale.fill("s", many // 4, payload)
    once("forget", [partial(store.forget, "0", "s", place.digest)])
    assert store.peek(place) is None


def ack_and_claim(scale: Scale, claim: Claim | None) -> Claim | None:
    assert claim is not None
    return scale.store.ack(claim, f"token-{next(scale.numbers)}", Plan()).next


@pytest.mark.parametrize(("payload", "many"), [(b"{}", 1000), (BIG, 4)], ids=["short", "256 KiB"])
def test_a_batch_that_ends_otherwise_than_in_success(scale: Scale, payload: bytes, many: int) -> None:
    """A batch of the default limits, short messages ten times that: put back, buried, redriven, dropped."""
    store, judge = scale.store, scale.log.judge
    sessions = (f"s{number}" for number in count())

    def batch(**plan: Any) -> Claim:
        session = next(sessions)
        scale.fill(session, many, payload)
        claim = scale.grown(session, **plan)
        view = store.peek(claim.address)
        assert view is not None
        assert (len(view.batch), view.waiting) == (many, 0)
        return claim

    def batches(**plan: Any) -> list[Claim]:
        return [batch(**plan) for _ in range(BATCHES)]

    cancelled = batches(on_cancel="rejoin")
    judge("cancel that rejoins", [partial(store.cancel, claim.address, claim.fence) for claim in cancelled])
    for claim in cancelled:
        assert store.forget("0", claim.address.session, claim.address.digest) == (many, 0)
    isolated = batches(max_attempts=1, on_exhausted="isolate")
    judge("isolate", [partial(store.nack, claim, 0) for claim in isolated])
    for claim in isolated:
        assert store.forget("0", claim.address.session, claim.address.digest) == (many, 0)
    judge("bury", [partial(store.nack, claim, -1, "reason", "traceback") for claim in batches()])
    letters = store.letters("0")
    assert [len(letter.elements) for letter in letters] == [many] * BATCHES
    scale.judge("letters", lambda: store.letters("0"))
    places = [address(letter.session, 1) for letter in letters]
    redriven = zip(letters, places, strict=True)
    judge("redrive", [partial(store.redrive, letter.id, place, 0, 0) for letter, place in redriven])
    assert store.letters("0") == []
    judge("drop of the redriven", [partial(store.drop, place, f"ticket {place.session}") for place in places])
    failed = batches()
    for claim in failed:
        store.nack(claim, 600_000)
    judge("drop with an open batch", [partial(store.drop, each.address, each.batch_id) for each in failed])


def test_many_sessions(scale: Scale) -> None:
    """Every move of a partition where many sessions are due, and commands of as many."""
    store, judge = scale.store, scale.judge
    for first in range(0, MANY, 1000):
        several = range(first, first + 1000)
        store.send_many([scale.message(f"s{number}", flush=True) for number in several])
        commands = [command_address("one" if number % 100 else "another", f"c{number}") for number in several]
        store.send_many([scale.message(place.session, place=place, kind="c") for place in commands])
    judge("dispatch of many", lambda: store.dispatch(["0", "command"], "nonce", 8))
    judge("stats of many", lambda: store.stats(["0", "command"]))
    judge("first sessions of many", lambda: store.sessions("0"))
    judge("last sessions of many", lambda: store.sessions("0", MANY - 100))
    scale.log.judge("claim of many", [scale.claim] * RUNNING)
    scale.log.judge("reclaim of many", [lambda: store.reclaim("0", False, LATER)])
    scale.log.judge("forget the commands of a session", [lambda: store.forget("command", "another")])
    assert store.forget("command", "another") == (0, 0)
    assert store.stats(["command"])[0].due == MANY - MANY // 100


def test_many_dead_letters(scale: Scale) -> None:
    """As many as an inbox keeps: listed, looked through, evicted."""
    store, judge = scale.store, scale.judge
    for first in range(0, LETTERS, 1000):
        store.send_many([scale.message(f"s{number}", flush=True) for number in range(first, first + 1000)])
    for _ in range(LETTERS - 1):
        store.nack(scale.claim(), -1, "reason", "traceback")
    judge("letters of many", lambda: store.letters("0"))
    judge("all letters", lambda: store.letters("0", 0, -1))
    assert len(store.letters("0", 0, -1)) == LETTERS - 1
    judge("letters of a session", lambda: store.letters("0", 0, -1, "s7"))
    judge("forget among many letters", lambda: store.forget("0", "nobody", address("nobody", 1).digest))
    assert store.forget("0", "s7", address("s7", 1).digest) == (0, 1)
    few = scale.with_settings(max_dead=1)
    scale.log.judge("bury where few may stay", [partial(few.nack, scale.claim(), -1, "reason", "traceback")])
