"""The way of a kick that no full broker takes: to this worker's own pool."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from kombu import Connection, Queue

from celery_inbox.worker.task import HandlerTask

NO_BROKER = "memory://"
"""kombu's broker inside a process: a kick that went through it has all that Celery expects of one."""


class Shortcut:
    """Hands kicks to the pool of the worker that this process is."""

    def __init__(self, worker: Any, slots: int) -> None:
        self._worker = worker
        self._slots = slots

    @property
    def room(self) -> int:
        """Slots that nothing runs in or waits for."""
        return max(self._slots - len(state.reserved_requests), 0)

    def hand_over(self, task: HandlerTask, partition: str, kick: str) -> None:
        """Let the worker's own thread take a kick as if the broker had brought it."""
        consumer = self._worker.consumer
        consumer.call_soon(consumer.create_task_handler(), message_of(task, partition, kick))


def message_of(task: HandlerTask, partition: str, kick: str) -> Any:
    """A kick as a consumer receives it."""
    queue = Queue(f"shortcut.{kick}", exchange="", durable=False)
    with Connection(NO_BROKER) as connection, connection.channel() as channel:
        bound = queue(channel)
        bound.declare()
        producer = task.app.amqp.Producer(channel)
        task.kick(partition, kick, producer=producer, queue=queue, exchange="", routing_key=queue.name)
        message = bound.get(no_ack=True)
        bound.delete()
    return message
