"""What the broker says, asked without declaring anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

TIMEOUT = 2.0
"""Seconds for the broker to take a connection."""
ANSWER = 1.0
"""Seconds for workers to answer."""


class BrokerAway(Exception):
    """The broker took no connection; nothing was asked."""


@contextmanager
def connected(app: Any) -> Iterator[Any]:
    """A connection to the broker, for the length of a ``with`` block.

    Raises:
        BrokerAway: There is none to be had.
    """
    try:
        connection = app.connection_for_read(connect_timeout=TIMEOUT)
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=TIMEOUT)
    except Exception as error:
        raise BrokerAway(f"{type(error).__name__}: {error}") from error
    try:
        yield connection
    finally:
        with suppress(Exception):
            connection.release()


def lengths(connection: Any, queues: Sequence[str]) -> dict[str, int | None]:
    """Messages that wait in each queue; None for a queue that nobody has declared."""
    return {queue: length(connection, queue) for queue in queues}


def length(connection: Any, queue: str) -> int | None:
    """Messages that wait in a queue. An empty queue does not exist in Redis; RabbitMQ closes the channel for one."""
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        return 0 if connection.transport.driver_type == "redis" else None
    finally:
        with suppress(Exception):
            channel.close()


def consumers(app: Any, connection: Any) -> dict[str, list[str]]:
    """Workers by the queue that they consume, as far as they answer in time."""
    replies = app.control.inspect(timeout=ANSWER, connection=connection).active_queues() or {}
    found: dict[str, list[str]] = {}
    for worker, queues in sorted(replies.items()):
        for queue in queues:
            found.setdefault(queue["name"], []).append(worker)
    return found
