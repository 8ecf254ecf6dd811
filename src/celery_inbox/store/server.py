"""What the servers behind a store say of themselves, read without changing anything."""

from __future__ import annotations

from typing import Any, NamedTuple

import redis
from redis.exceptions import ResponseError

from celery_inbox.errors import StorageUnavailable
from celery_inbox.store.connection import storage_errors
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.replies import text


class Server(NamedTuple):
    """What a server says of itself; of a cluster, the worst that any primary says."""

    version: tuple[int, ...]
    """Of Redis, or the one that Valkey is compatible with."""
    policy: str | None
    """``maxmemory-policy``."""


def product(store: RedisStore) -> Server | None:
    """What the server is; None when it does not say.

    Raises:
        StorageUnavailable: Redis did not answer.
    """
    try:
        with storage_errors():
            told: list[Any] = [each.info() for each in store.link.servers()]
    except StorageUnavailable as error:
        if isinstance(error.__cause__, ResponseError):
            return None
        raise
    found = [Server(_version(info), info.get("maxmemory_policy")) for info in told]
    worst = max(found, key=lambda each: (each.policy != "noeviction", each.policy is not None))
    return Server(min(each.version for each in found), worst.policy)


def _version(info: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in str(info.get("redis_version", "0")).split(".") if part.isdigit())


def clock(store: RedisStore) -> int:
    """Redis's clock, Unix ms; of a cluster, that of one node.

    Raises:
        StorageUnavailable: Redis did not answer.
    """
    with storage_errors():
        clocks: list[Any] = [each.time() for each in store.link.servers()]
    seconds, microseconds = clocks[0]
    return int(seconds) * 1000 + int(microseconds) // 1000


def recorded(store: RedisStore) -> dict[str, str]:
    """What all processes of the inbox have agreed on, ``partitions`` and ``serializer``; empty before the first send.

    While sessions are moved to another number of partitions, that number is ``moving``.

    Args:
        store: Where to look.

    Raises:
        StorageUnavailable: Redis did not answer.
    """
    names = ("partitions", "serializer", "moving")
    with storage_errors():
        found: Any = store.client.hmget(f"{store.inbox_prefix}:config", *names)
    return {name: text(value) for name, value in zip(names, found, strict=True) if value is not None}


def keeps_writes(store: RedisStore) -> str | None:
    """How the server keeps its writes: ``appendonly``, ``snapshots`` or ``no``; None when it does not say.

    Of a cluster, the least that any primary does.

    Raises:
        StorageUnavailable: Redis did not answer.
    """
    try:
        with storage_errors():
            kept = [_keeps_writes(each) for each in store.link.servers()]
    except StorageUnavailable as error:
        if isinstance(error.__cause__, ResponseError):
            return None
        raise
    return min(kept, key=("no", "snapshots", "appendonly").index)


def _keeps_writes(client: redis.Redis) -> str:
    persistence: Any = client.info("persistence")
    if persistence.get("aof_enabled"):
        return "appendonly"
    saves: Any = client.config_get("save")
    return "snapshots" if saves.get("save", saves.get(b"save")) else "no"
