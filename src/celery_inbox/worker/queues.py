"""The Celery queues of an inbox: one per partition, one for commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Exchange, Queue

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox

EXCHANGE = "celery-inbox"


def queue_name(inbox: str, partition: str) -> str:
    """Name of the queue on which a partition's kicks travel."""
    return f"{inbox}.{partition}"


def queue_of(inbox: BoundInbox, partition: str) -> Queue:
    """Declare a partition's queue; producers and consumers must declare it alike.

    Its own exchange and routing key keep it from hearing what is published to the app's default queue.
    """
    name, conf = queue_name(inbox.name, partition), inbox.app.conf
    arguments: dict[str, Any] = {}
    if getattr(conf, "task_default_queue_type", "classic") == "quorum":
        arguments["x-queue-type"] = "quorum"
    return Queue(name, Exchange(EXCHANGE, "direct"), routing_key=name, queue_arguments=arguments or None)
