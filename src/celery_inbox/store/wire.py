"""Script calls on redis-py's connections, packed once instead of command by command.

redis-py connects, authenticates and parses. Its way from a call to bytes costs more than all the rest of a send, so
this file packs a call's constant head once per partition and sends many calls as one piece. Its pool asks the system
with every call whether the connection still stands; here the call itself finds out, for it may be sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import redis
from redis.exceptions import ReadOnlyError, ResponseError

NO_PRIMARY = ("-READONLY ", "NOREPLICAS ")
"""Says a replica of a command within a script, in Redis 6; and a primary that was told to have replicas and has none,
which may be one that the others have replaced."""


def bulk(argument: Any) -> bytes:
    """One argument as the protocol has it."""
    encoded = argument if isinstance(argument, bytes) else str(argument).encode()
    return b"$%d\r\n%b\r\n" % (len(encoded), encoded)


def pack(head: bytes, size: int, arguments: Iterable[Any]) -> bytes:
    """One command.

    Args:
        head: Its first ``size`` arguments, packed.
        size: How many these are.
        arguments: The others.
    """
    tail = [bulk(argument) for argument in arguments]
    return b"*%d\r\n%b%b" % (size + len(tail), head, b"".join(tail))


class Wire:
    """Calls on connections that a client's pool has made; as many as there are calls at once."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._idle: list[Any] = []

    def _take(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.get_connection()

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands in one piece and read a reply for each; a reply that is an error stands in its place.

        A connection that breaks is opened anew and everything is sent once more: our scripts recognise a call that
        comes twice.

        Raises:
            redis.RedisError: The server did not answer.
        """
        packed = [b"".join(commands)]
        connection = self._take()
        try:
            answers = self._exchange_twice(connection, packed, len(commands))
        except BaseException:
            # A soft time limit, say: what is still on its way must not answer the next call.
            connection.disconnect()
            self._pool.release(connection)
            raise
        self._idle.append(connection)
        return answers

    def _exchange_twice(self, connection: Any, packed: list[bytes], replies: int) -> list[Any]:
        try:
            return self._exchange(connection, packed, replies)
        except redis.ConnectionError:
            connection.disconnect()
            # Left to itself, a connection would not ask Sentinel again but go back to the old primary.
            connection.connect()
            return self._exchange(connection, packed, replies)

    def _exchange(self, connection: Any, packed: list[bytes], replies: int) -> list[Any]:
        connection.send_packed_command(packed)
        return [reply(connection) for _ in range(replies)]


def reply(connection: Any) -> Any:
    """Read a reply; one that is an error is returned.

    Raises:
        redis.RedisError: There was none, or it came from a server that may be no primary any more. Nothing was written
            there; its address, or Sentinel, may lead to another by now.
    """
    try:
        return connection.read_response()
    except ResponseError as error:
        if is_no_primary(error):
            raise redis.ConnectionError(f"the server takes no writes: {error}") from error
        return error


def is_no_primary(error: ResponseError) -> bool:
    """Whether a server says that it takes no writes, for another may."""
    return isinstance(error, ReadOnlyError) or any(word in str(error) for word in NO_PRIMARY)
