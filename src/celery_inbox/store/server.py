"""What the server behind a store says of itself, read without changing anything."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from celery_inbox.errors import StorageUnavailable
from celery_inbox.store.connection import storage_errors
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.replies import text


def clock(store: RedisStore) -> int:
    """Redis's clock, Unix ms.

    Raises:
        StorageUnavailable: Redis did not answer.
    """
    with storage_errors():
        seconds, microseconds = store.client.time()
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

    Raises:
        StorageUnavailable: Redis did not answer.
    """
    try:
        with storage_errors():
            if store.client.info("persistence").get("aof_enabled"):
                return "appendonly"
            saves: Any = store.client.config_get("save")
    except StorageUnavailable as error:
        if isinstance(error.__cause__, ResponseError):
            return None
        raise
    return "snapshots" if saves.get("save", saves.get(b"save")) else "no"
