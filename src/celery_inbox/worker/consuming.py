"""The queues of shared partitions in this worker's consumer, changed in the consumer's own thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery_inbox.worker.partitions import all_partitions
from celery_inbox.worker.queues import queue_of

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox


class Consuming:
    """Which partitions of an inbox the consumer of this worker hears."""

    def __init__(self, inbox: BoundInbox, worker: Any) -> None:
        self._worker = worker
        self._queues = {name: queue_of(inbox, name) for name in all_partitions(inbox.settings.partitions)}
        self._wanted: frozenset[str] = frozenset()
        self._adjusted = self._wanted

    @property
    def _heard(self) -> set[str]:
        chosen = set(self._worker.app.amqp.queues.consume_from)
        return {name for name, queue in self._queues.items() if queue.name in chosen}

    @property
    def held(self) -> list[str]:
        """Partitions that are heard, or will be in a moment."""
        held = self._heard | self._wanted
        return [name for name in self._queues if name in held]

    def want(self, partitions: Iterable[str]) -> None:
        """Have these heard and no others, as soon as the consumer is free; to be said again, lest it be forgotten.

        A queue that somebody cancels later by ``control.cancel_consumer`` stays cancelled.
        """
        self._wanted = frozenset(partitions)
        if self._adjusted != self._wanted:
            self._worker.consumer.call_soon(self._adjust)

    def _adjust(self) -> None:
        consumer, heard, wanted = self._worker.consumer, self._heard, self._wanted
        if consumer.task_consumer is None:  # Celery is about to connect anew, and to consume what is selected then
            return
        for name in heard - wanted:
            consumer.cancel_task_queue(self._queues[name].name)
        for name in wanted - heard:
            # add_task_queue does not select a queue that was known before: it would never be cancelled again.
            self._worker.app.amqp.queues.select_add(self._queues[name])
            consumer.add_task_queue(self._queues[name].name)
        self._adjusted = wanted
