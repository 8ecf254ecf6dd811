"""The queues that a worker consumes are those of its share, whatever it had before."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.worker.consumer import Consumer

from celery_inbox import Inbox
from celery_inbox.worker.consuming import Consuming


@pytest.fixture
def worker() -> SimpleNamespace:
    """What Celery has of a worker, with its own methods, that begins with no queue on a broker in memory."""
    app = Celery("sharing", broker="memory://", set_as_current=False)
    app.amqp.queues.select_add("another")
    app.amqp.queues.select("another")
    app.amqp.queues.deselect("another")
    consumer = SimpleNamespace(app=app, call_soon=lambda call: call())
    consumer.task_consumer = app.amqp.TaskConsumer(app.connection().default_channel, queues=[])
    for method in (Consumer.add_task_queue, Consumer.cancel_task_queue):
        setattr(consumer, method.__name__, partial(method, consumer))
    return SimpleNamespace(app=app, consumer=consumer)


def test_a_partition_that_came_back_can_be_given_away_again(worker: SimpleNamespace) -> None:
    """Celery consumes a queue that it knows without selecting it: then it was never let go, or lost by a reconnect."""
    inbox = Inbox(worker.app, "chat", redis_url="redis://127.0.0.1:1/0", partitions=2)
    consuming = Consuming(inbox, worker)
    for share in (["0", "1"], ["0"], ["0", "1"], ["0"], [], ["1"]):
        consuming.want(share)
        queues = {f"chat.{partition}" for partition in share}
        assert {queue.name for queue in worker.consumer.task_consumer.queues} == queues
        assert set(worker.app.amqp.queues.consume_from) == queues, "what a reconnect consumes"
        assert consuming.held == share
