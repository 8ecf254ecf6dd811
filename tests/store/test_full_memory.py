"""Redis has reached ``maxmemory``: sends are refused whole, everything that gives memory back still works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from celery_inbox.embedded import Server
from celery_inbox.errors import StorageFull, StorageUnavailable
from celery_inbox.store.redis import RedisStore
from store.scene import Scene, ids


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Server]:
    """Run a server of this module's own, for nobody else wants it full."""
    with Server() as server:
        yield server


@pytest.fixture
def fill(redis_store: RedisStore) -> Iterator[Callable[[], None]]:
    """Fill the server; the test has its sessions by then."""

    def fill() -> None:
        redis_store.client.config_set("maxmemory", 1)
        with pytest.raises(Exception, match="maxmemory"):
            redis_store.client.set("anything", "at all")

    yield fill
    redis_store.client.config_set("maxmemory", 0)


def test_a_send_is_refused_whole(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """``StorageFull``: nothing half-written, the id is free, and it carries the id."""
    redis_scene.send("a")
    before = redis_scene.look()
    fill()
    for id, session in (("b", "s"), ("c", "new")):
        with pytest.raises(StorageFull, match="maxmemory") as failure:
            redis_scene.store.send(redis_scene.outgoing(id, session), redis_scene.now)
        assert failure.value.id == id
        assert isinstance(failure.value, StorageUnavailable)
    assert redis_scene.look() == before


def test_many_sends_are_refused_whole(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """None of them is stored."""
    fill()
    with pytest.raises(StorageFull):
        redis_scene.store.send_many([redis_scene.outgoing(id) for id in "abc"], redis_scene.now)
    assert redis_scene.look().sessions == frozenset()


def test_an_asynchronous_send_is_refused_alike(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """The same error, with the id."""
    fill()
    with pytest.raises(StorageFull) as failure:
        asyncio.run(redis_scene.store.asend(redis_scene.outgoing("a")))
    assert failure.value.id == "a"


def test_a_duplicate_is_one_on_a_full_server(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """It writes nothing, so there is nothing to refuse."""
    redis_scene.send("a")
    fill()
    assert redis_scene.send("a").status == "duplicate"


def test_sends_work_again_once_there_is_memory(
    redis_scene: Scene, fill: Callable[[], None], redis_store: RedisStore
) -> None:
    """Without a restart of anything, with the id that was refused."""
    fill()
    with pytest.raises(StorageFull):
        redis_scene.send("a")
    redis_store.client.config_set("maxmemory", 0)
    assert redis_scene.send("a").status == "accepted"


def test_what_waits_is_handled(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """Dispatch, claim, renew, ack: the way memory comes back."""
    redis_scene.send("a", flush=True)
    fill()
    ((kind, kick),) = redis_scene.dispatch().kicks
    claim = redis_scene.claimed(kick=kick, kind=kind)
    assert redis_scene.renew(claim)
    assert redis_scene.ack(claim).handled == 1
    assert redis_scene.peek() is None


def test_an_ack_claims_the_next_on_a_full_server(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """One call, as ever."""
    claim = redis_scene.open_batch("a")
    redis_scene.send("b", flush=True)
    fill()
    following = redis_scene.ack(claim, "token").next
    assert following is not None
    assert ids(following.elements) == ["b"]


def test_failures_are_settled(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """Nack, release, reclaim, down to the dead letter and back."""
    claim = redis_scene.open_batch("a")
    fill()
    assert redis_scene.nack(claim).outcome == "retry"
    assert redis_scene.release(redis_scene.claimed()).outcome == "done"
    redis_scene.claimed()
    redis_scene.wait(30_000)
    assert [told.outcome for told in redis_scene.reclaim()] == ["retry"]
    assert redis_scene.nack(redis_scene.claimed(), -1, "reason", "traceback" * 100).outcome == "dead"
    (letter,) = redis_scene.letters()
    assert redis_scene.redrive(letter) == 1


def test_the_other_moves_work(redis_scene: Scene, fill: Callable[[], None]) -> None:
    """Touch, quarantine, stop, an outage's grace, unkick, reading."""
    claim = redis_scene.open_batch("a", "b", session="running")
    redis_scene.send("c")
    redis_scene.send("d", "due", flush=True)
    kicks = redis_scene.dispatch().kicks
    fill()
    redis_scene.wait(100)
    assert redis_scene.touch() == redis_scene.now + 1_000
    assert redis_scene.quarantine(claim, claim.elements[0])
    redis_scene.stop("other")
    assert redis_scene.reclaim(outage=True) == []
    assert redis_scene.unkick(*kicks) == 1
    assert redis_scene.peek() is not None
    assert redis_scene.letters() == []
    assert redis_scene.stats().due == 2


@pytest.mark.settings(max_pending=2, max_batch=2, overflow="drop_oldest")
def test_dropping_the_oldest_works_on_a_full_server_or_is_refused_whole(
    redis_scene: Scene, fill: Callable[[], None]
) -> None:
    """It gives memory back before it takes some; either way nothing is lost unsaid."""
    redis_scene.send("a")
    redis_scene.send("b")
    fill()
    try:
        dropped = redis_scene.send("c").dropped
    except StorageFull:
        dropped = ()
    waiting = ids(redis_scene.peek().elements)  # type: ignore[union-attr]
    assert (dropped, waiting) in [(("a",), ["b", "c"]), ((), ["a", "b"])]
