"""How the Redis store speaks with its server: forgotten scripts, round trips, clocks, loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celery_inbox.store.moves import Terms
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.scripts import LUA, script
from faults.proxy import Proxy
from store.scene import DEBOUNCE, Scene, ids
from store.snapshot import PARTITION_KEYS, keys_of, leaks


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    """Put a proxy before the shared server."""
    with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: Proxy, redis_store: RedisStore, terms: Terms) -> Iterator[RedisStore]:
    """Open the same inbox by way of the proxy."""
    store = RedisStore(proxy.url, redis_store._namespace, "inbox", terms, socket_timeout=2)
    store.client.ping()
    yield store
    store.client.close()


def moves() -> list[str]:
    return sorted(path.name.removesuffix(".lua") for path in LUA.iterdir() if path.name.endswith(".lua"))


@pytest.mark.parametrize("name", moves())
def test_every_script_compiles(redis_store: RedisStore, name: str) -> None:
    """The server takes it, and knows it by the hash that we compute."""
    move = script(name)
    sha = redis_store.client.script_load(move.text)
    assert (sha.decode() if isinstance(sha, bytes) else sha) == move.sha


def test_a_server_that_forgets_its_scripts_is_told_again(redis_scene: Scene) -> None:
    """SCRIPT FLUSH, restart, failover: every move of a session's life works all the same."""
    store = redis_scene.store
    assert isinstance(store, RedisStore)
    flush = store.client.script_flush
    flush()
    redis_scene.send("a")
    flush()
    redis_scene.touch()
    redis_scene.wait(DEBOUNCE)
    flush()
    assert len(redis_scene.dispatch().kicks) == 1
    flush()
    claim = redis_scene.claimed()
    flush()
    assert redis_scene.renew(claim)
    flush()
    redis_scene.nack(claim)
    claim = redis_scene.claimed()
    flush()
    redis_scene.release(claim)
    claim = redis_scene.claimed()
    redis_scene.wait(30_000)
    flush()
    assert len(redis_scene.reclaim()) == 1
    claim = redis_scene.claimed()
    flush()
    dead = redis_scene.nack(claim, delay=-1)
    flush()
    (letter,) = redis_scene.letters()
    assert letter.id == dead.dead_id
    flush()
    assert redis_scene.redrive(letter) == 1
    flush()
    redis_scene.stop("other")
    flush()
    assert redis_scene.peek() is not None
    claim = redis_scene.claimed()
    flush()
    assert redis_scene.ack(claim).outcome == "done"
    flush()
    assert redis_scene.stats().counts["handled"] == 1
    flush()
    assert redis_scene.store.register(1, "json") == (1, "json")
    flush()
    assert [sent.status for sent in store.send_many([redis_scene.outgoing("x"), redis_scene.outgoing("y")])] == [
        "accepted",
        "accepted",
    ]
    flush()
    assert asyncio.run(store.asend(redis_scene.outgoing("z"))).waiting == 3
    for id in "xyz":
        assert store.send(redis_scene.outgoing(id)).status == "duplicate"


@pytest.mark.parametrize("move", ["send", "touch", "claim", "renew", "ack", "nack", "dispatch", "send_many", "stats"])
def test_a_move_is_one_round_trip(redis_scene: Scene, proxied: RedisStore, proxy: Proxy, move: str) -> None:
    """Once the server knows the script."""
    claim = redis_scene.open_batch("a")
    redis_scene.send("b", "other")
    other = redis_scene.outgoing("c", "other")
    given = redis_scene.plan()
    make: dict[str, Callable[[], object]] = {
        "send": lambda: proxied.send(other, redis_scene.now),
        "touch": lambda: proxied.touch(other.address, redis_scene.now),
        "claim": lambda: proxied.claim("0", "token", given, "", redis_scene.now),
        "renew": lambda: proxied.renew(claim, redis_scene.now),
        "ack": lambda: proxied.ack(claim, "token", given, redis_scene.now),
        "nack": lambda: proxied.nack(claim, 0, "", "", redis_scene.now),
        "dispatch": lambda: proxied.dispatch(["0", "1", "2"], "n", 1, redis_scene.now),
        "send_many": lambda: proxied.send_many([redis_scene.outgoing(f"m{n}", f"s{n}") for n in range(20)]),
        "stats": lambda: proxied.stats(["0", "1", "2"]),
    }
    for name in moves():
        proxied.client.script_load(script(name).text)
    before = proxy.round_trips
    make[move]()
    assert proxy.round_trips == before + 1


def test_a_send_is_one_command(redis_scene: Scene, proxied: RedisStore) -> None:
    """One EVALSHA; no MULTI, no lookup beside it."""
    proxied.send(redis_scene.outgoing("a"), redis_scene.now)
    before = calls(proxied)
    proxied.send(redis_scene.outgoing("b"), redis_scene.now)
    after = calls(proxied)
    assert after["evalsha"] - before["evalsha"] == 1
    others = ("multi", "eval", "watch", "client|setinfo")
    assert [name for name in others if after.get(name, 0) != before.get(name, 0)] == []


def calls(store: RedisStore) -> dict[str, int]:
    stats = store.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): said["calls"] for name, said in stats.items()}


def test_without_now_the_server_s_clock_decides(redis_scene: Scene) -> None:
    """Not the client's, not the test's; a message that is due by that clock can be claimed by it."""
    store = redis_scene.store
    sent = store.send(redis_scene.outgoing("a", debounce=0))
    assert sent.due_at is not None
    assert abs(sent.due_at - time.time() * 1000) < 10_000
    claim = store.claim("0", "token", redis_scene.plan())
    assert claim is not None
    assert claim.claimed_at >= sent.due_at
    assert store.renew(claim)
    assert store.reclaim("0") == []
    assert store.ack(claim).outcome == "done"


def test_asend_stores_from_any_event_loop(redis_scene: Scene) -> None:
    """Connections belong to their loop; a second loop gets its own."""
    store = redis_scene.store
    for id in "abc":
        assert asyncio.run(store.asend(redis_scene.outgoing(id))).status == "accepted"
    assert ids(redis_scene.peek().elements) == ["a", "b", "c"]  # type: ignore[union-attr]


def test_many_asends_at_once(redis_scene: Scene) -> None:
    """One loop, many tasks: all stored, none twice."""
    store = redis_scene.store

    async def burst() -> list[int]:
        sent = await asyncio.gather(*(store.asend(redis_scene.outgoing(f"m{number}")) for number in range(50)))
        return sorted(each.waiting for each in sent)

    assert asyncio.run(burst()) == list(range(1, 51))


def test_a_send_with_an_old_layout_is_told_the_new_one(redis_scene: Scene) -> None:
    """The partitions were changed: nothing is stored where nobody would look."""
    store = redis_scene.store
    assert isinstance(store, RedisStore)
    store.client.hset(f"{store.prefix('0')}:state", "layout", 64)
    sent = store.send(redis_scene.outgoing("a"), redis_scene.now)
    assert (sent.status, sent.waiting) == ("moved", 64)
    assert [each.status for each in store.send_many([redis_scene.outgoing("a")], redis_scene.now)] == ["moved"]
    assert redis_scene.peek() is None
    store.client.hset(f"{store.prefix('0')}:state", "layout", store.terms.partitions)
    assert store.send(redis_scene.outgoing("a"), redis_scene.now).status == "accepted"


@pytest.mark.settings(active_window=60, min_interval=60)
def test_marks_of_a_finished_session_expire_by_themselves(redis_scene: Scene) -> None:
    """Ids, window and interval: nothing else is left, and none of them stays."""
    redis_scene.ack(redis_scene.open_batch("a", "b"))
    store = redis_scene.store
    assert isinstance(store, RedisStore)
    prefix = store.prefix("0") + ":"
    left = {key.removeprefix(prefix): store.client.pttl(key) for key in keys_of(store, prefix)}
    marks = {name: ttl for name, ttl in left.items() if name.split(":")[0] not in PARTITION_KEYS}
    assert {name.split(":")[0] for name in marks} == {"ids", "window", "rest"}
    assert all(0 < ttl <= 86_400_000 for ttl in marks.values())


def test_the_leak_check_finds_a_leak(redis_scene: Scene) -> None:
    """A check that never fails checks nothing."""
    store = redis_scene.store
    assert isinstance(store, RedisStore)
    prefix = store.prefix("0")
    planted = [f"{prefix}:{name}" for name in ("w:nobody", "b:nobody", "ids:nobody", "unheard-of")]
    for key in planted:
        store.client.rpush(key, 1)
    assert sorted(leaks(store)) == sorted(planted)
    store.client.delete(*planted)


def heard_until_now(store: RedisStore, subscription: Any) -> list[str]:
    """What a dispatcher of the partition was told since it subscribed."""
    store.client.publish(f"{store.prefix('0')}:wake", "end")
    said: list[str] = []
    while "end" not in said:
        message = subscription.get_message(timeout=5)
        if message:
            said.append(message["data"].decode())
    return said[:-1]


def test_sends_wake_a_dispatcher_that_would_look_too_late(redis_scene: Scene) -> None:
    """Published once when something is due earlier than ``wake_at``, not for every send."""
    store = redis_scene.store
    assert isinstance(store, RedisStore)
    heard = store.wakes(["0"])
    try:
        redis_scene.dispatch()
        redis_scene.send("a", debounce=400)
        redis_scene.send("b", debounce=400)
        redis_scene.send("c", "other", debounce=700)
        redis_scene.send("d", "third", debounce=100)
        assert heard_until_now(store, heard) == ["0 400", "0 100"]
    finally:
        heard.close()


def test_a_dispatcher_that_is_late_is_not_told_by_every_send(redis_scene: Scene) -> None:
    """A look that should have been within the last 100 ms is on its way; one that is later needs another call."""
    store = redis_scene.store
    assert isinstance(store, RedisStore)
    heard = store.wakes(["0"])
    try:
        redis_scene.dispatch()
        redis_scene.send("a", "first", debounce=0)
        redis_scene.wait(100)
        redis_scene.send("b", "second", debounce=0)
        assert heard_until_now(store, heard) == ["0 0"]
        redis_scene.wait(1)
        redis_scene.send("c", "third", debounce=0)
        assert heard_until_now(store, heard) == ["0 0"]
    finally:
        heard.close()
