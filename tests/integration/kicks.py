"""Kicks from outside: stale ones published by hand, and those that wait in the broker."""

import base64
import json
import uuid
from typing import Any

import redis

from celery_inbox import Batch, Inbox
from celery_inbox.worker.queues import queue_of


def bind_handler(inbox: Inbox) -> None:
    """Give the producer's side a task by the worker's name, which kicks can be published with."""

    @inbox.handler(name="bot.reply")
    def reply(batch: Batch) -> None:
        raise AssertionError("the worker handles, not the producer")


def publish(inbox: Inbox, partition: str) -> str:
    """Publish a kick that no dispatcher knows of; the reply is its id."""
    kick = uuid.uuid4().hex
    queue = queue_of(inbox, partition)
    inbox.handler_task("m").kick(partition, kick, queue=queue, exchange="", routing_key=queue.name)
    return kick


def stored(broker: redis.Redis, queue: str) -> list[str]:
    """Kicks of a queue as they are stored: those that wait, and those that a worker has fetched and not begun."""
    with broker.pipeline(transaction=True) as both:
        both.lrange(queue, 0, -1)
        both.hvals("unacked")
        waiting, fetched = both.execute()
    unacked = [json.loads(each) for each in fetched]
    return [*waiting, *(json.dumps(message) for message, _, routing_key in unacked if routing_key == queue)]


def outstanding(broker: redis.Redis, queue: str) -> int:
    """How many kicks of a queue are on their way."""
    return len(stored(broker, queue))


def content(kick: str) -> dict[str, Any]:
    """What a stored kick says: headers, properties and arguments."""
    message: dict[str, Any] = json.loads(kick)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    return message
