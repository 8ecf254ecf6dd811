"""The proof that this worker consumes, which ``inbox health`` asks for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from celery_inbox.errors import StorageUnavailable
from celery_inbox.worker.identity import worker_identity

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox

EVERY = 5.0
"""Seconds for which a proof is good enough: one write in so long, however much is handled."""

_proved_at: dict[str, float] = {}


def prove(inbox: BoundInbox) -> None:
    """Record that this worker claims, or that a run of it goes on; a proof that does not reach Redis is none."""
    now = time.monotonic()
    if inbox.in_process or now - _proved_at.get(inbox.name, -EVERY) < EVERY:
        return
    _proved_at[inbox.name] = now
    try:
        inbox.redis_store.prove(worker_identity())
    except StorageUnavailable:
        del _proved_at[inbox.name]
