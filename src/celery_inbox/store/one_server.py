"""Calls on one server: the one that the URL names, or the primary that Sentinel names."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio.sentinel
import redis.sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from celery_inbox.store.connection import client_options
from celery_inbox.store.place import Place
from celery_inbox.store.wire import Wire, is_no_primary


class ServerLink:
    """Connections to one server.

    A connection that breaks is opened anew, once per call; with Sentinel it leads to whoever is primary then.
    """

    def __init__(self, url: str, place: Place, socket_timeout: float, health_check: float) -> None:
        self._url = url
        self._place = place
        self._options = client_options(url, socket_timeout, health_check)
        retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
        self.client: redis.Redis = self._open(redis.Redis, redis.sentinel.Sentinel, retry)
        self._wire = Wire(self.client)
        self._async_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = (
            weakref.WeakKeyDictionary()
        )

    def _open(self, of_server: Any, of_sentinel: Any, retry: Any) -> Any:
        place = self._place
        if place.form == "server":
            return of_server.from_url(self._url, retry=retry, **self._options)
        sentinels = of_sentinel(place.hosts, sentinel_kwargs={**self._options, **place.of_sentinels})
        return sentinels.master_for(place.service, retry=retry, **self._options, **place.options)

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Make calls in one round trip."""
        return self._wire.exchange(commands)

    async def execute(self, *words: Any) -> Any:
        """Make one call from the running event loop; again, on new connections, if the server is no primary now."""
        client = self._async_client()
        try:
            return await client.execute_command(*words)
        except ResponseError as error:
            if not is_no_primary(error):
                raise
            await client.connection_pool.disconnect()
            return await client.execute_command(*words)

    def _async_client(self) -> redis.asyncio.Redis:
        """One client per event loop: connections belong to the loop that opened them."""
        loop = asyncio.get_running_loop()
        client = self._async_clients.get(loop)
        if client is None:
            retry = redis.asyncio.retry.Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
            client = self._open(redis.asyncio.Redis, redis.asyncio.sentinel.Sentinel, retry)
            self._async_clients[loop] = client
        return client

    def subscription(self, key: str) -> Any:  # noqa: ARG002
        """Make a subscription."""
        return self.client.pubsub(ignore_subscribe_messages=True)

    def servers(self) -> list[redis.Redis]:
        """The one."""
        return [self.client]

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
