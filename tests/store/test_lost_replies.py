"""A reply is lost and the call is sent again: section 4, calls that are sent twice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from celery_inbox.errors import StorageUnavailable
from celery_inbox.store.moves import Terms
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.scripts import script
from faults.proxy import Proxy
from store.scene import Scene, ids


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    """Put a proxy before the shared server."""
    with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def broken(proxy: Proxy, redis_store: RedisStore, terms: Terms) -> Iterator[RedisStore]:
    """Open the same inbox by way of the proxy, connected and with every script known."""
    for name in ("send", "claim", "ack", "nack", "renew", "release", "reclaim", "dispatch"):
        redis_store.client.script_load(script(name).text)
    store = RedisStore(proxy.url, redis_store._namespace, "inbox", terms, socket_timeout=0.6)
    store.client.ping()
    yield store
    proxy.heal()
    store.client.close()


def test_a_send_is_stored_once(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """DUP-2: the client sends it again by itself; one element, with a generated id as well."""
    for id, generated in (("mine", False), ("generated", True)):
        proxy.drop_reply(1)
        sent = broken.send(redis_scene.outgoing(id, generated=generated), redis_scene.now)
        assert sent.status in ("accepted", "duplicate")
    assert proxy.dropped == 2
    assert ids(redis_scene.peek().elements) == ["mine", "generated"]  # type: ignore[union-attr]
    assert redis_scene.count("accepted") == 2


def test_many_sends_are_stored_once(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """The whole pipeline is sent again."""
    proxy.drop_reply(1)
    broken.send_many([redis_scene.outgoing(id) for id in "abc"], redis_scene.now)
    assert proxy.dropped == 1
    assert ids(redis_scene.peek().elements) == ["a", "b", "c"]  # type: ignore[union-attr]


def test_a_send_that_fails_carries_the_id_to_try_again_with(
    redis_scene: Scene, broken: RedisStore, proxy: Proxy
) -> None:
    """Every reply is lost: whether it was stored is unknown, and sending again with that id is safe."""
    proxy.drop_reply(20)
    with pytest.raises(StorageUnavailable) as failure:
        broken.send(redis_scene.outgoing("a"), redis_scene.now)
    assert proxy.dropped >= 2
    proxy.heal()
    assert failure.value.id == "a"
    assert broken.send(redis_scene.outgoing("a"), redis_scene.now).status == "duplicate"
    assert redis_scene.count("accepted") == 1


def test_a_claim_returns_the_same_batch(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """Not the next one, and the attempt is counted once."""
    redis_scene.send("a", "one", flush=True)
    redis_scene.send("b", "two", flush=True)
    proxy.drop_reply(1)
    claim = broken.claim("0", "token", redis_scene.plan(), "", redis_scene.now)
    assert proxy.dropped == 1
    assert claim is not None
    assert (claim.address.session, claim.attempt) == ("one", 1)
    assert len(redis_scene.look().leased) == 1


def test_an_ack_says_done(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """Handled is counted once; a batch that was handled is not told that it is lost."""
    claim = redis_scene.open_batch("a", "b")
    proxy.drop_reply(1)
    assert broken.ack(claim, now=redis_scene.now).outcome == "done"
    assert proxy.dropped == 1
    assert redis_scene.count("handled") == 2


def test_an_ack_claims_the_next_batch_once(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """The batch that the lost reply carried is not orphaned until its lease ends."""
    claim = redis_scene.open_batch("a", session="one")
    redis_scene.send("b", "two", flush=True)
    redis_scene.send("c", "three", flush=True)
    proxy.drop_reply(1)
    settled = broken.ack(claim, "token", redis_scene.plan(), redis_scene.now)
    assert proxy.dropped == 1
    assert settled.next is not None
    assert (settled.outcome, settled.next.address.session, settled.next.attempt) == ("done", "two", 1)
    assert len(redis_scene.look().leased) == 1


def test_a_nack_counts_once(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """The second call says done; the batch is due as the first one said."""
    claim = redis_scene.open_batch("a")
    proxy.drop_reply(1)
    assert broken.nack(claim, 5_000, "", "", redis_scene.now).outcome == "done"
    assert proxy.dropped == 1
    assert redis_scene.due_in() == 5_000


def test_a_batch_dies_once(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """One dead letter, its messages counted once."""
    claim = redis_scene.open_batch("a", "b")
    proxy.drop_reply(1)
    broken.nack(claim, -1, "", "", redis_scene.now)
    assert proxy.dropped == 1
    assert len(redis_scene.letters()) == 1
    assert redis_scene.count("dead") == 2


def test_a_release_gives_back_once(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """The attempt is uncounted once."""
    redis_scene.nack(redis_scene.open_batch("a"))
    claim = redis_scene.claimed()
    proxy.drop_reply(1)
    assert broken.release(claim, redis_scene.now).outcome == "done"
    assert proxy.dropped == 1
    assert redis_scene.claimed().attempt == 2


def test_a_renewal_renews(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """Twice is as good as once."""
    claim = redis_scene.open_batch("a")
    proxy.drop_reply(1)
    assert broken.renew(claim, redis_scene.now)
    assert proxy.dropped == 1


def test_a_reclaimed_lease_ends_once(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """The second call finds nothing to end; the session is due all the same."""
    redis_scene.open_batch("a")
    redis_scene.wait(30_000)
    proxy.drop_reply(1)
    assert broken.reclaim("0", now=redis_scene.now) == []
    assert proxy.dropped == 1
    assert redis_scene.claimed().attempt == 2


def test_a_cut_connection_is_made_anew(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """Between two calls nobody notices."""
    for id in "abc":
        assert proxy.cut() == 1
        assert broken.send(redis_scene.outgoing(id), redis_scene.now).status == "accepted"
    assert proxy.cuts == 3


def test_a_server_that_is_silent_bounds_the_call(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """``socket_timeout`` is 0.6 s here; nothing is sent twice into the silence."""
    proxy.black_hole()
    started = time.monotonic()
    with pytest.raises(StorageUnavailable) as failure:
        broken.send(redis_scene.outgoing("a"), redis_scene.now)
    assert time.monotonic() - started < 0.6 + 0.3
    assert failure.value.id == "a"
    assert proxy.swallowed > 0
    proxy.heal()
    assert broken.send(redis_scene.outgoing("a"), redis_scene.now).status == "accepted"


def test_a_slow_reply_in_time_is_a_reply(redis_scene: Scene, broken: RedisStore, proxy: Proxy) -> None:
    """A delay below the timeout changes nothing but the time."""
    proxy.delay(100)
    started = time.monotonic()
    assert broken.send(redis_scene.outgoing("a"), redis_scene.now).status == "accepted"
    assert time.monotonic() - started >= 0.1


def test_a_reply_that_comes_too_late_is_not_taken_for_the_next_one(
    redis_scene: Scene, broken: RedisStore, proxy: Proxy
) -> None:
    """After a timeout the connection is not used again."""
    proxy.delay(500)
    with pytest.raises(StorageUnavailable):
        broken.send(redis_scene.outgoing("a", payload=b"x" * 10), redis_scene.now)
    proxy.heal()
    sent = broken.send(redis_scene.outgoing("b", payload=b"x"), redis_scene.now)
    assert (sent.status, sent.waiting, sent.waiting_bytes) == ("accepted", 2, 11)
