"""A bot whose every kick is published twice under the same id, as brokers that deliver at least once do."""

import os
import random
import time
from typing import Any

from celery import Celery
from celery.signals import after_task_publish

from celery_inbox import Batch, Inbox
from celery_inbox.testing import History

imports = None

app = Celery("celery_test_app")
config = None

if config:
    app.config_from_object(config)

inbox = Inbox(app, "chat")
history = History(os.environ["HISTORY"])
doubled: set[str] = set()


@inbox.handler(name="bot.reply")
def reply(batch: Batch) -> None:
    """Work for a moment, long enough for another kick to be taken up."""
    with history.run(batch):
        time.sleep(random.random() * 0.02)


def publish_again(headers: dict[str, Any], routing_key: str, **_: Any) -> None:
    """Publish what was just published once more."""
    kick = headers["id"]
    if kick not in doubled:
        doubled.add(kick)
        inbox.handler_task("m").kick(routing_key.rpartition(".")[2], kick, exchange="", routing_key=routing_key)


after_task_publish.connect(publish_again, sender="bot.reply")
