"""Eager mode: under ``task_always_eager`` every send is handled in place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from celery import Task, states

from celery_inbox.element import Kind
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import Terms

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox


class EagerStore(MemoryStore):
    """A store in this process whose clock jumps to whatever is due next, as Celery ignores a countdown."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms, self._tick)
        self.now = 0

    def _tick(self) -> int:
        self.now = max(self.now, time.time_ns() // 1_000_000)
        return self.now

    def jump(self) -> tuple[str, Kind] | None:
        """Move the clock to the next due session: its partition and kind, or None when nothing waits."""
        ahead = [(at, name, digest) for name, found in self.partitions.items() for digest, at in found.due.items()]
        if not ahead:
            return None
        at, name, digest = min(ahead)
        self.now = max(self.now, at)
        return name, self.partitions[name].sessions[digest].next_kind


def handle_all(inbox: BoundInbox, store: EagerStore) -> None:
    """Handle everything that waits, retries included.

    Raises:
        Exception: What a handler raised in its last attempt, if ``task_eager_propagates`` is set.
    """
    while (due := store.jump()) is not None:
        partition, kind = due
        task = inbox.handler_task(kind)
        result = Task.apply(task, args=(inbox.name, partition, kind), throw=False)
        if result.state == states.FAILURE and inbox.app.conf.task_eager_propagates:
            raise result.result
