"""Handle in this process what an inbox keeps in memory: under ``task_always_eager`` with every send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from celery import Task, states

from celery_inbox.element import Kind
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import Terms

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox
    from celery_inbox.worker.lease import Lease


class Due(NamedTuple):
    """A session whose batch may start, now or later."""

    at: int
    partition: str
    kind: Kind


class InProcess:
    """Stands in for Redis, dispatcher and workers of one inbox; when it handles what, its heirs say."""

    def __init__(self, inbox: BoundInbox, store: MemoryStore) -> None:
        self.inbox = inbox
        self.store = store
        self.running: list[Lease] = []

    def keep(self, lease: Lease) -> None:
        """Note that a claim runs; in place of the thread that renews leases."""
        self.running.append(lease)

    def let_go(self, lease: Lease) -> None:
        """End what keep began."""
        self.running.remove(lease)

    def moved(self) -> None:
        """Tell what runs whether it was cancelled or lost; called after every move of a user's."""
        for lease in tuple(self.running):
            lease.tick(time.monotonic())

    def due(self, serves: Callable[[str], bool] = lambda _: True) -> Due | None:
        """Find the session that is due first.

        Args:
            serves: Says of a partition's name whether it is looked at.
        """
        ahead = [
            (at, name, digest)
            for name, partition in self.store.partitions.items()
            if serves(name)
            for digest, at in partition.due.items()
        ]
        if not ahead:
            return None
        at, name, digest = min(ahead)
        return Due(at, name, self.store.partitions[name].sessions[digest].next_kind)

    def handle(self, due: Due) -> Any:
        """Run the handler as a kick does.

        Returns:
            Celery's ``EagerResult``.
        """
        task = self.inbox.handler_task(due.kind)
        return Task.apply(task, args=(self.inbox.name, due.partition, due.kind), throw=False)


class Kit(Protocol):
    """Takes inboxes over for a test."""

    def serving(self, inbox: BoundInbox) -> InProcess:
        """What serves an inbox in the test."""


class Eager(InProcess):
    """Handles everything with every send; its clock jumps to whatever is due next, as Celery ignores a countdown."""

    def __init__(self, inbox: BoundInbox) -> None:
        super().__init__(inbox, MemoryStore(Terms.of(inbox.settings), self._tick))
        self.now = 0
        self._busy = threading.Lock()

    def _tick(self) -> int:
        self.now = max(self.now, time.time_ns() // 1_000_000)
        return self.now

    def moved(self) -> None:
        """Handle all that waits; what a handler sends waits until its batch is settled.

        Raises:
            Exception: What a handler raised in its last attempt, if ``task_eager_propagates`` is set.
        """
        super().moved()
        self.store.dispatch([*self.store.partitions], "", 0)  # ends pauses
        # A handler may send from threads of its own, hence nobody waits here for the lock.
        while self.due() is not None and self._busy.acquire(blocking=False):
            try:
                self._handle_all()
            finally:
                self._busy.release()

    def _handle_all(self) -> None:
        while (due := self.due()) is not None:
            self.now = max(self.now, due.at)
            result = self.handle(due)
            if result.state == states.FAILURE and self.inbox.app.conf.task_eager_propagates:
                raise result.result
