"""A slot moves to another node key by key while messages are sent to its partition."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import redis
from redis.crc import key_slot

from celery_inbox.errors import StorageUnavailable
from celery_inbox.store.moves import Sent, Terms
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.scripts import script
from cluster.cluster import Cluster
from store.scene import Scene, ids
from waiting import wait_until

MOVING = "Redis Cluster is moving this partition"


@pytest.fixture
def impatient(redis_url: str, redis_store: RedisStore, terms: Terms) -> Iterator[RedisStore]:
    """Open the same inbox for calls that wait a quarter of a second."""
    store = RedisStore(redis_url, redis_store._namespace, "inbox", terms, socket_timeout=0.5)
    yield store
    store.link.close()


class Sender:
    """Sends one message after the other to one session; one that is refused is sent again with its id."""

    def __init__(self, store: RedisStore) -> None:
        self.scene = Scene(store)
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            message = self.scene.outgoing(str(len(self.accepted)))
            try:
                self.scene.store.send(message)
            except StorageUnavailable as error:
                self.refused.append(str(error))
            else:
                self.accepted.append(message.id)

    def wait_for_more(self, more: int = 20) -> None:
        goal = len(self.accepted) + more
        wait_until(lambda: len(self.accepted) >= goal, description=f"{more} more messages accepted")

    def wait_for_more_refused(self, more: int = 2) -> None:
        goal = len(self.refused) + more
        wait_until(lambda: len(self.refused) >= goal, description="sends refused while the slot moves")


def test_nobody_writes_while_half_of_a_session_is_elsewhere(
    redis_store: RedisStore, impatient: RedisStore, three_nodes: Cluster
) -> None:
    """Neither side takes a call until all keys have moved; then both clients go on by themselves, in order."""
    prefix = redis_store.prefix("0")
    slot, source = key_slot(prefix.encode()), three_nodes.owner(prefix)
    target = next(node for node in three_nodes.nodes if node is not source)
    with Sender(impatient) as sender:
        for here, there in ((source, target), (target, source)):
            sender.wait_for_more()
            three_nodes.begin_to_move(slot, here, there)
            with pytest.raises(redis.exceptions.AskError):
                here.ask("EVALSHA", script("stats").sha, 1, prefix)
            sender.wait_for_more_refused()
            with pytest.raises(StorageUnavailable, match=MOVING):
                asyncio.run(impatient.asend(sender.scene.outgoing("async")))
            moved = 0
            while three_nodes.move_keys(slot, here, there, most=1):
                moved += 1
                assert there.ask("CLUSTER COUNTKEYSINSLOT", slot) == moved, "somebody wrote to the target"
            assert moved > 3
            three_nodes.end_move(slot, here, there)
            sender.wait_for_more()
            assert asyncio.run(impatient.asend(sender.scene.outgoing("0"))).status == "duplicate"
    assert {refused for refused in sender.refused if MOVING not in refused} == set()
    view = redis_store.peek(sender.scene.outgoing("a").address, 0, -1)
    assert view is not None
    assert ids(view.elements) == sender.accepted


def test_a_client_that_knows_an_old_map_is_led_on(redis_store: RedisStore, three_nodes: Cluster) -> None:
    """MOVED is no error of a caller's; several calls at once find their new node."""
    scene = Scene(redis_store)
    redis_store.stats(["0"])
    asyncio.run(redis_store.asend(scene.outgoing("a")))
    prefix = redis_store.prefix("0")
    slot, source = key_slot(prefix.encode()), three_nodes.owner(prefix)
    target = next(node for node in three_nodes.nodes if node is not source)
    sent: list[Sent] = []
    for here, there in ((source, target), (target, source)):
        three_nodes.begin_to_move(slot, here, there)
        while three_nodes.move_keys(slot, here, there):
            continue
        three_nodes.end_move(slot, here, there)
        with pytest.raises(redis.exceptions.MovedError):
            here.ask("EVALSHA", script("stats").sha, 1, prefix)
        sent += redis_store.send_many([scene.outgoing(f"{there.port}-{number}") for number in range(3)])
    assert [each.status for each in sent] == ["accepted"] * 6
    assert redis_store.stats(["0"])[0].counts["accepted"] == 7
