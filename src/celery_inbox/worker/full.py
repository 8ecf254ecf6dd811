"""Living with a broker that is a Redis at its memory limit: it brings kicks, it takes none."""

from __future__ import annotations

from collections.abc import Container
from types import MethodType
from typing import Any

from celery import bootsteps
from kombu.transport import virtual

SAYS = "command not allowed when used memory > 'maxmemory'"
"""What such a Redis says, whatever kombu makes of it."""


def is_full(error: Exception) -> bool:
    """Was something refused for want of memory?"""
    return SAYS in str(error)


class TakeKicks(bootsteps.StartStopStep):  # type: ignore[misc]
    """Let kicks come and go although a full broker refuses to record it.

    kombu has fetched a message when its record as unacknowledged is refused, and it removes that record in a
    transaction, which a full Redis refuses too. Either error would end the worker. A kick without record is lost with
    its worker, one whose record stays is delivered twice: both do no harm.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def include_if(self, consumer: Any) -> bool:
        return bool(getattr(consumer.controller, "kick_queues", ()))

    def start(self, consumer: Any) -> None:
        if consumer.connection.transport.driver_type == "redis":
            spare(consumer.task_consumer.channel.qos, consumer.controller.kick_queues)


def spare(qos: Any, queues: Container[str]) -> None:
    """Do without what a channel's bookkeeping writes for the messages of some queues, where the broker refuses it."""
    record, forget = qos.append, qos.ack

    def append(self: Any, message: Any, tag: str) -> None:
        try:
            record(message, tag)
        except Exception as error:
            if not is_full(error) or message.delivery_info["routing_key"] not in queues:
                raise
            # Still counted against the prefetch limit.
            virtual.QoS.append(self, message, tag)

    def ack(self: Any, tag: str) -> None:
        message = self.get(tag)
        try:
            forget(tag)
        except Exception as error:
            if not is_full(error) or message.delivery_info["routing_key"] not in queues:
                raise
            virtual.QoS.ack(self, tag)

    qos.append, qos.ack = MethodType(append, qos), MethodType(ack, qos)
