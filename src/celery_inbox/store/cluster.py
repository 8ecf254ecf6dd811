"""Calls on a cluster: each goes to the node that has its partition, those of all nodes in one round trip."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisClusterException, RedisError, TryAgainError
from redis.retry import Retry

from celery_inbox.store.connection import client_options
from celery_inbox.store.place import Place
from celery_inbox.store.wire import reply

PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1)
"""Seconds before a call that was sent elsewhere, or nowhere, is made again; the last one from then on."""
HEADER = 1024
"""Bytes of a command in which its key ends."""
PASSING = (AskError, TryAgainError, ClusterDownError, redis.ConnectionError)
"""What a cluster says, MOVED among it, while its nodes agree anew on who has what."""
BROKEN = (redis.ConnectionError, redis.TimeoutError)
"""What a node says that is away."""


class ClusterLink:
    """Connections to the nodes of a cluster.

    redis-py keeps the map of slots. It is not left to follow an ASK: while a slot moves key by key, a script at its
    target would find the half of a session that has arrived. The key that our scripts declare never exists, so the
    source answers every call for the slot with ASK until the whole slot has moved; calls wait for that.
    """

    def __init__(self, place: Place, socket_timeout: float, health_check: float) -> None:
        self._hosts = self._known = place.hosts
        self._options = {**client_options("", socket_timeout, health_check), **place.options}
        self._patience = socket_timeout / 2
        self._client: RedisCluster | None = None
        self._async_nodes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, redis.asyncio.Redis]] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def client(self) -> RedisCluster:
        """The client, which asks for the map when it is made.

        Raises:
            redis.ConnectionError: No node answers, neither of those that the URL names nor of those known since.
        """
        return self._client or self._open()

    def _open(self) -> RedisCluster:
        nodes = [ClusterNode(host, port) for host, port in self._known]
        retry = Retry(NoBackoff(), 1)
        try:
            client = RedisCluster(startup_nodes=nodes, require_full_coverage=False, retry=retry, **self._options)
        except RedisClusterException as error:
            raise redis.ConnectionError(str(error)) from error
        self._client = client
        return client

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Make calls in one round trip, and again those that found no node."""
        began_at = time.monotonic()
        keys = [key_of(command) for command in commands]
        answers: list[Any] = [None] * len(commands)
        left = [number for number, key in enumerate(keys) if key]
        for pause in pauses():
            self._round(commands, keys, left, answers)
            left = [number for number in left if isinstance(answers[number], PASSING)]
            if not left or not self._may_wait(began_at, pause, [answers[number] for number in left]):
                break
            self._learn({keys[number]: answers[number] for number in left})
            time.sleep(pause)
        for answer in answers:
            if isinstance(answer, BROKEN):
                self._forget()
                raise answer
        return answers

    def _may_wait(self, began_at: float, pause: float, refused: Sequence[Exception]) -> bool:
        """Half of the time for waiting, half for the last attempt; a call that was shown its way has all of it."""
        knows_its_way = all(isinstance(error, MovedError) for error in refused)
        return time.monotonic() + pause - began_at < self._patience * (2 if knows_its_way else 1)

    def _round(self, commands: Sequence[bytes], keys: list[bytes], left: list[int], answers: list[Any]) -> None:
        """Ask every node that has something of what is left; replies and errors go into their places."""
        before = [number for number, key in enumerate(keys) if not key]
        parts: dict[Any, Part] = {}
        for number in left:
            try:
                node = self.client.get_node_from_key(keys[number])
                pool = self.client.get_redis_connection(node).connection_pool
            except (RedisError, RedisClusterException, OSError) as error:
                answers[number] = as_redis_error(error)
                continue
            parts.setdefault(pool, Part(pool, [*before])).numbers.append(number)
        try:
            for part in parts.values():
                part.ask(commands, answers)
            for part in parts.values():
                part.hear(answers)
        finally:
            for part in parts.values():
                part.end()

    def _learn(self, refused: Mapping[bytes, Exception]) -> None:
        """Find out who has what now: redis-py follows a MOVED with a read, and asks the nodes when one is gone."""
        try:
            for key, error in refused.items():
                if isinstance(error, MovedError):
                    self.client.execute_command("EXISTS", key)
            if any(is_gone(error) for error in refused.values()):
                self.client.nodes_manager.initialize()
        except (RedisClusterException, *BROKEN, OSError):
            self._forget()
        except RedisError:
            return  # the next round says it again

    def _forget(self) -> None:
        """Begin anew with the next call."""
        client, self._client = self._client, None
        if client is not None:
            found = [(str(node.host), int(node.port)) for node in client.get_nodes()]
            self._known = tuple(dict.fromkeys((*self._hosts, *found)))

    async def execute(self, *words: Any) -> Any:
        """Make one call from the running event loop, and again if it found no node; a thread asks for the map."""
        began_at, key = time.monotonic(), str(words[3])
        for pause in pauses():
            try:
                if self._client is None:
                    await asyncio.to_thread(self._open)
                return await self._async_node(self.client.get_node_from_key(key)).execute_command(*words)
            except (*PASSING, *BROKEN, RedisClusterException) as error:
                if isinstance(error, redis.TimeoutError) or not self._may_wait(began_at, pause, [error]):
                    self._forget()
                    raise as_redis_error(error) from error
                await asyncio.to_thread(self._learn, {key.encode(): error})
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _async_node(self, node: Any) -> redis.asyncio.Redis:
        """One client per event loop and node: connections belong to the loop that opened them."""
        nodes = self._async_nodes.setdefault(asyncio.get_running_loop(), {})
        if node.name not in nodes:
            retry = redis.asyncio.retry.Retry(NoBackoff(), 0)
            nodes[node.name] = redis.asyncio.Redis(host=node.host, port=node.port, retry=retry, **self._options)
        return nodes[node.name]

    def subscription(self, key: str) -> Any:
        """Make a subscription at the node that has the key, asked for now; what one node is told, all of them hear."""
        self._learn({key.encode(): redis.ConnectionError()})
        client = self.client
        try:
            node = client.get_node_from_key(key)
        except RedisClusterException as error:
            raise as_redis_error(error) from error
        return client.get_redis_connection(node).pubsub(ignore_subscribe_messages=True)

    def servers(self) -> list[redis.Redis]:
        """List the primaries."""
        return [self.client.get_redis_connection(node) for node in self.client.get_primaries()]

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


class Part:
    """What one node is asked in one round."""

    def __init__(self, pool: Any, numbers: list[int]) -> None:
        self.numbers = numbers
        self._pool = pool
        self._connection: Any = None
        self._is_whole = False

    def ask(self, commands: Sequence[bytes], answers: list[Any]) -> None:
        """Send."""
        try:
            self._connection = self._pool.get_connection()
            self._connection.send_packed_command([b"".join([commands[number] for number in self.numbers])])
        except (RedisError, OSError) as error:
            self._fail(error, self.numbers, answers)

    def hear(self, answers: list[Any]) -> None:
        """Read what was replied."""
        if self._connection is None:
            return
        for place, number in enumerate(self.numbers):
            try:
                answers[number] = reply(self._connection)
            except (RedisError, OSError) as error:
                self._fail(error, self.numbers[place:], answers)
                return
        self._is_whole = True

    def _fail(self, error: Exception, numbers: list[int], answers: list[Any]) -> None:
        self.end()
        for number in numbers:
            answers[number] = as_redis_error(error)

    def end(self) -> None:
        """Give the connection back; what is still on its way must not answer the next call."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if not self._is_whole:
                connection.disconnect()
            self._pool.release(connection)


def key_of(command: bytes) -> bytes:
    """The key of a packed EVALSHA; empty for a command without one."""
    lines = command[:HEADER].split(b"\r\n", 9)
    return lines[8] if lines[2] == b"EVALSHA" else b""


def is_gone(error: Exception) -> bool:
    """Whether a call found nobody at all, rather than somebody who knows better."""
    return not isinstance(error, (AskError, TryAgainError))


def as_redis_error(error: Exception) -> Exception:
    """An error of the cluster's client that is none of redis-py's: no node is known for a slot, or none answers."""
    return error if isinstance(error, RedisError) else redis.ConnectionError(str(error))


def pauses() -> Iterator[float]:
    yield from PAUSES
    while True:
        yield PAUSES[-1]
