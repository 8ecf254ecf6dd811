"""Connections to Redis: time limits, and what their errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import AskError, MovedError, OutOfMemoryError, RedisClusterException, RedisError, ResponseError

from celery_inbox.element import decode_id
from celery_inbox.errors import ConfigurationError, InboxError, Repartitioning, StorageFull, StorageUnavailable

REFUSED = re.compile(r"CELERY_INBOX_(MOVING|MOVED|NOT_FROZEN)(?: (\d+))?")
"""What our scripts raise, see ``lua/include/full.lua`` and ``lua/include/parcel.lua``."""


def repartitioning(id: str | None = None) -> Repartitioning:
    """Say that nothing goes in or out at present."""
    return Repartitioning("sessions are being moved to another number of partitions: try again when it is over", id)


def overtaken() -> ConfigurationError:
    """Say to a mover that it is one too many."""
    return ConfigurationError("another process has ended this repartition: run the same command again to see")


def moved(partitions: int) -> ConfigurationError:
    """Say that a session is found elsewhere by now."""
    return ConfigurationError(
        f"the inbox was repartitioned to {partitions} partitions, this process has another number: "
        "set inbox_partitions and restart it"
    )


def client_options(url: str, socket_timeout: float, health_check: float = 0) -> dict[str, Any]:
    """Options that bound a call: half of the time for the connection, half for the reply.

    A call whose connection broke is sent once more; the scripts recognise it (section 4, calls that are sent twice).
    """
    options: dict[str, Any] = {
        "socket_timeout": socket_timeout / 2,
        "health_check_interval": health_check,
        "protocol": 2,
    }
    if not url.startswith("unix:"):
        options.update(socket_connect_timeout=socket_timeout / 2, socket_keepalive=True)
    return options


def storage_error(error: Exception, id: str | None = None) -> InboxError:
    """Say what an error of redis-py, or of a script of ours, means to a caller."""
    caller_id = None if id is None else decode_id(id)
    if isinstance(error, ResponseError) and (said := REFUSED.search(str(error))):
        if said[1] == "MOVING":
            return repartitioning(caller_id)
        if said[1] == "NOT_FROZEN":
            return overtaken()
        return moved(int(said[2]))
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in str(error):
        return StorageFull("Redis has reached maxmemory: free memory or raise it, then send again", caller_id)
    if isinstance(error, MovedError):
        return StorageUnavailable(f"Redis Cluster does not agree on the place of this partition: {error}", caller_id)
    if isinstance(error, AskError):
        return StorageUnavailable("Redis Cluster is moving this partition from one node to another", caller_id)
    if isinstance(error, ResponseError):
        refused = StorageUnavailable(f"Redis refused the call: {error}", caller_id)
        refused.is_final = FINAL.search(str(error)) is not None
        return refused
    return StorageUnavailable(f"Redis did not answer: {error or type(error).__name__}", caller_id)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise storage_error(error) from error


FINAL = re.compile(r"WRONGTYPE|attempt to |is not an integer|is not a valid float")
"""Stands in what Redis says of a call that would fail each time: a foreign hand has written to our keys."""
