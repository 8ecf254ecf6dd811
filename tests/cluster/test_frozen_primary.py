"""A primary that hangs keeps its connections and answers nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Iterator

import pytest

from celery_inbox.errors import StorageUnavailable
from celery_inbox.settings import Settings
from celery_inbox.store.moves import Outgoing, Terms
from celery_inbox.store.redis import RedisStore
from cluster.cluster import Cluster, cluster
from store.scene import Scene

PARTITIONS = [str(number) for number in range(32)]
SOCKET_TIMEOUT = 1.0
WITHIN = SOCKET_TIMEOUT * 1.5
"""Seconds that a call may take: its bound, and some for a busy machine."""
GOES_ON = 20.0
"""Seconds."""


@pytest.fixture
def servers() -> Iterator[Cluster]:
    """Run a cluster whose first primary has a replica."""
    with cluster(replicas=1) as found:
        yield found
        os.kill(found.primaries[0].pid, signal.SIGCONT)


def test_calls_end_in_time_and_find_the_replica(servers: Cluster) -> None:
    """Plain and async, for partitions of the primary that hangs and of others; no client is told anything."""
    terms = Terms.of(Settings(partitions=len(PARTITIONS)))
    store = RedisStore(servers.url, f"test-{uuid.uuid4().hex}", "inbox", terms, SOCKET_TIMEOUT)
    scene = Scene(store)
    frozen = servers.primaries[0]
    hung = next(each for each in PARTITIONS if servers.owner(store.prefix(each)) is frozen)
    other = next(each for each in PARTITIONS if servers.owner(store.prefix(each)) is not frozen)

    def message(id: str, partition: str) -> Outgoing:
        found = scene.outgoing(id)
        return found._replace(address=found.address._replace(partition=partition))

    store.stats(PARTITIONS)
    os.kill(frozen.pid, signal.SIGSTOP)
    with pytest.raises(StorageUnavailable):
        store.send(message("first", hung))
    accepted: set[tuple[str, str]] = set()
    ends_at, number = time.monotonic() + GOES_ON, 0
    while len(accepted) < 4 and time.monotonic() < ends_at:
        number += 1
        for how in ("send", "asend"):
            for partition in (hung, other):
                began_at = time.monotonic()
                try:
                    sent = message(f"{how}-{number}", partition)
                    asyncio.run(store.asend(sent)) if how == "asend" else store.send(sent)
                    accepted.add((how, partition))
                except StorageUnavailable:
                    accepted.discard((how, partition))
                assert time.monotonic() - began_at <= WITHIN
    assert len(accepted) == 4
    assert store.send(message("first", hung)).status in ("accepted", "duplicate")
