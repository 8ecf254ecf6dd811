"""What a store needs of the servers behind it, whatever their form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import redis

from celery_inbox.store.cluster import ClusterLink
from celery_inbox.store.one_server import ServerLink
from celery_inbox.store.place import place


class Link(Protocol):
    """Connections to where sessions live."""

    @property
    def client(self) -> Any:
        """A client of redis-py; what belongs to a key goes to where that key is."""

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Make calls in one round trip; a reply that is an error stands in its place.

        Args:
            commands: Script calls with one key each, which may come twice; SCRIPT LOAD may stand before them.

        Raises:
            redis.RedisError: Not all were answered.
        """

    async def execute(self, *words: Any) -> Any:
        """Make one script call from the running event loop.

        Raises:
            redis.RedisError: It was refused or not answered.
        """

    def subscription(self, key: str) -> Any:
        """Make a subscription at a server that answers; the key says at which."""

    def servers(self) -> list[redis.Redis]:
        """List a client for every server that sessions are on."""

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""


def link(url: str, socket_timeout: float, health_check: float = 0) -> Link:
    """Open a link; nothing is connected before the first call.

    Args:
        url: As ``redis_url`` has it.
        socket_timeout: Bound on a call, seconds.
        health_check: Seconds of silence after which a connection is tested; 0 for never.
    """
    found = place(url)
    if found.form == "cluster":
        return ClusterLink(found, socket_timeout, health_check)
    return ServerLink(url, found, socket_timeout, health_check)
