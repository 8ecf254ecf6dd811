"""Each script runs on a cluster, for partitions on all of its nodes; the store's tests of calls are repeated there."""

from __future__ import annotations

from typing import Any

import pytest

from celery_inbox.store.moves import Plan
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.scripts import script
from cluster.cluster import Cluster
from store.scene import Scene
from store.test_redis_calls import (
    moves,
    test_a_server_that_forgets_its_scripts_is_told_again,
    test_asend_stores_from_any_event_loop,
    test_many_asends_at_once,
    test_sends_wake_a_dispatcher_that_would_look_too_late,
    test_without_now_the_server_s_clock_decides,
)
from store.test_repartition import Town, test_a_session_goes_on_where_it_was, town
from waiting import wait_until

__all__ = [
    "test_a_server_that_forgets_its_scripts_is_told_again",
    "test_asend_stores_from_any_event_loop",
    "test_many_asends_at_once",
    "test_sends_wake_a_dispatcher_that_would_look_too_late",
    "test_without_now_the_server_s_clock_decides",
    "town",
]

PARTITIONS = [str(number) for number in range(32)]
OF_REPARTITIONS = {
    "clear", "clear_rest", "freeze", "merge", "pack", "pack_rest", "place", "place_generated",
    "repartition_begin", "repartition_end", "repartition_phase", "thaw",
}  # fmt: skip


def watched(redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the scripts that the store calls from now on."""
    names = {script(name).sha.encode(): name for name in moves()}
    found: set[str] = set()
    exchange = redis_store.link.exchange

    def watch(commands: Any) -> Any:
        found.update(name for command in commands for sha, name in names.items() if sha in command[:100])
        return exchange(commands)

    monkeypatch.setattr(redis_store.link, "exchange", watch)
    return found


def test_every_script_runs(redis_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session's life with everything that can be done to it."""
    store = redis_scene.store
    assert isinstance(store, RedisStore)
    called = watched(store, monkeypatch)
    assert store.register(1, "json") == (1, "json")
    assert store.share("w", [], [], 1, now=redis_scene.now) == ["0"]
    store.prove("w", redis_scene.now)
    assert [each.worker for each in store.workers(redis_scene.now)] == ["w"]
    redis_scene.send("a")
    assert redis_scene.touch() is not None
    assert redis_scene.flush() == 1
    (kick,) = redis_scene.dispatch().kicks
    assert redis_scene.unkick(kick) == 1
    claim = redis_scene.claimed()
    redis_scene.send("b")
    assert redis_scene.take_new(claim) == ["b"]
    assert redis_scene.renew(claim)
    redis_scene.nack(claim)
    redis_scene.release(redis_scene.claimed())
    claim = redis_scene.claimed()
    assert redis_scene.quarantine(claim, claim.elements[0])
    redis_scene.wait(30_000)
    assert len(redis_scene.reclaim()) == 1
    assert redis_scene.cancel(claim=redis_scene.claimed()) == "done"
    redis_scene.bury("x")
    letter = redis_scene.letters()[0]
    assert redis_scene.redrive(letter) == 1
    redis_scene.pause()
    assert redis_scene.resume()
    redis_scene.ack(redis_scene.claimed())
    for id in "cde":
        redis_scene.send(id)
    assert redis_scene.waiting() == ["c", "d", "e"]
    assert redis_scene.remove("c")
    assert redis_scene.replace("d", payload=b"[]") == "replaced"
    assert len(store.sessions("0")) == 1
    assert redis_scene.drop() == 2
    assert len(store.dropped("0", "ticket")) == 2
    redis_scene.send("f")
    assert redis_scene.forget() == (1, 0)
    assert store.purge("0", redis_scene.bury("y").id)
    redis_scene.stop()
    assert redis_scene.stats().counts["handled"] == 1
    store.leave("w")
    assert called == set(moves()) - OF_REPARTITIONS


def test_a_repartition_carries_sessions_from_node_to_node(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that repartitions call."""
    called = watched(town.store, monkeypatch)
    fewer = town.partitions
    test_a_session_goes_on_where_it_was(town)
    town.repartition(fewer)
    assert called >= OF_REPARTITIONS


@pytest.mark.settings(partitions=32)
def test_calls_in_many_partitions_are_split_by_node(redis_store: RedisStore, three_nodes: Cluster) -> None:
    """Replies come back in the order of the partitions, whatever node has which; a forgotten script is told to each."""
    owners = {three_nodes.owner(redis_store.prefix(partition)).port for partition in PARTITIONS}
    assert len(owners) == 3
    scene = Scene(redis_store)
    messages = [
        scene.outgoing(f"{partition}-{number}", "s", flush=True)._replace(
            address=scene.outgoing("a").address._replace(partition=partition)
        )
        for partition in PARTITIONS
        for number in range(int(partition) % 3 + 1)
    ]
    for node in three_nodes.nodes:
        node.ask("SCRIPT FLUSH")
    assert {sent.status for sent in redis_store.send_many(messages, scene.now)} == {"accepted"}
    depths = redis_store.stats(PARTITIONS)
    assert [each.counts["accepted"] for each in depths] == [int(partition) % 3 + 1 for partition in PARTITIONS]
    dispatched = redis_store.dispatch(PARTITIONS, "nonce", 1, scene.now)
    assert [len(each.kicks) for each in dispatched] == [1] * len(PARTITIONS)
    for partition in PARTITIONS:
        claim = redis_store.claim(partition, f"token-{partition}", Plan(worker="w"), now=scene.now)
        assert claim is not None
        assert claim.address.partition == partition
        assert redis_store.ack(claim, now=scene.now).outcome == "done"


@pytest.mark.settings(partitions=32)
def test_every_node_is_heard(redis_store: RedisStore, three_nodes: Cluster) -> None:
    """A subscription at one node hears the wakes that scripts publish on the others."""
    scene = Scene(redis_store)
    heard = redis_store.wakes(PARTITIONS)
    try:
        redis_store.dispatch(PARTITIONS, "nonce", 1)
        address = scene.outgoing("a").address
        for partition in PARTITIONS:
            redis_store.send(scene.outgoing("a", flush=True)._replace(address=address._replace(partition=partition)))
        woken: set[str] = set()

        def hear() -> bool:
            woken.update([wake[0]] if (wake := redis_store.woken(heard, 0.1)) else [])
            return woken == set(PARTITIONS)

        wait_until(hear, description="every partition's wake to be heard")
    finally:
        heard.close()
        for partition in PARTITIONS:
            claim = redis_store.claim(partition, f"token-{partition}", Plan(worker="w"))
            assert claim is not None
            redis_store.ack(claim)
