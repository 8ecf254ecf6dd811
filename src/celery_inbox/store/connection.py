"""Connections to Redis: time limits, and what their errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import AskError, MovedError, OutOfMemoryError, RedisClusterException, RedisError, ResponseError

from celery_inbox.element import decode_id
from celery_inbox.errors import StorageFull, StorageUnavailable


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


def storage_error(error: Exception, id: str | None = None) -> StorageUnavailable:
    """Say what an error of redis-py means to a caller."""
    caller_id = None if id is None else decode_id(id)
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in str(error):
        return StorageFull("Redis has reached maxmemory: free memory or raise it, then send again", caller_id)
    if isinstance(error, MovedError):
        return StorageUnavailable(f"Redis Cluster does not agree on the place of this partition: {error}", caller_id)
    if isinstance(error, AskError):
        return StorageUnavailable("Redis Cluster is moving this partition from one node to another", caller_id)
    if isinstance(error, ResponseError):
        return StorageUnavailable(f"Redis refused the call: {error}", caller_id)
    return StorageUnavailable(f"Redis did not answer: {error or type(error).__name__}", caller_id)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise storage_error(error) from error
