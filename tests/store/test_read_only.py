"""A server that was primary and is a replica: its address may lead to the new primary by now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
import redis

from celery_inbox.embedded import Server
from celery_inbox.errors import StorageUnavailable
from celery_inbox.store.moves import Sent, Terms
from celery_inbox.store.redis import RedisStore
from store.scene import Scene

NOWHERE = ("127.0.0.1", 1)


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server that this test may spoil."""
    with Server() as server:
        yield server


@pytest.fixture
def direct(server: Server) -> Iterator[redis.Redis]:
    """Open a client of no store."""
    with redis.Redis.from_url(server.url) as client:
        yield client


def demote(client: redis.Redis) -> None:
    client.execute_command("REPLICAOF", *NOWHERE)


def ask_for_replicas(client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", 1)


@pytest.mark.parametrize("spoil", [demote, ask_for_replicas])
@pytest.mark.parametrize("is_async", [False, True], ids=["send", "asend"])
def test_a_connection_to_who_takes_no_writes_is_dropped(
    server: Server, direct: redis.Redis, terms: Terms, spoil: Callable[[redis.Redis], None], is_async: bool
) -> None:
    """FOV-2: each call looks the address up anew, says what is wrong, and works as soon as that leads to a primary."""
    scene = Scene(RedisStore(server.url, "test", "inbox", terms, socket_timeout=2))

    def send(id: str) -> Sent:
        if is_async:
            return asyncio.run(scene.store.asend(scene.outgoing(id)))
        return scene.store.send(scene.outgoing(id))

    assert send("a").status == "accepted"
    spoil(direct)
    before = direct.info("stats")["total_connections_received"]
    with pytest.raises(StorageUnavailable, match=r"takes no writes|read only|NOREPLICAS"):
        send("b")
    assert direct.info("stats")["total_connections_received"] > before
    direct.execute_command("REPLICAOF", "NO", "ONE")
    direct.config_set("min-replicas-to-write", 0)
    assert send("b").status == "accepted"
