"""A bot that does what its messages say and writes down what it did."""

import json
import os
import time
from typing import Any

from celery import Celery

from celery_inbox import Batch, Command, Inbox
from celery_inbox.testing import History

imports = None

app = Celery("celery_test_app")
config = None

if config:
    app.config_from_object(config)

inbox = Inbox(app, "chat")
history = History(os.environ["HISTORY"])


def note(**facts: Any) -> None:
    """Append a line to the notes."""
    line = json.dumps({"pid": os.getpid(), **facts}).encode() + b"\n"
    file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line)
    os.close(file)


def spin(seconds: float) -> None:
    """Compute in pure Python, never idle."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number = (number * 31 + 7) % 1_000_003


def wait_for_loss(batch: Batch, seconds: float) -> None:
    """Work on until told that the lease is lost; only a first attempt waits."""
    if batch.attempt > 1:
        return
    end = time.monotonic() + seconds
    while not batch.lost and time.monotonic() < end:
        time.sleep(0.01)
    note(session=batch.session, attempt=batch.attempt, fence=batch.fence, lost=batch.lost)


@inbox.handler(name="bot.reply")
def reply(batch: Batch) -> None:
    """Obey every message in turn; one that is plain text asks for nothing."""
    with history.run(batch):
        for message in batch:
            orders = message.body if isinstance(message.body, dict) else {}
            time.sleep(orders.get("sleep", 0))
            spin(orders.get("spin", 0))
            if "wait_for_loss" in orders:
                wait_for_loss(batch, orders["wait_for_loss"])


@inbox.command_handler(name="bot.command")
def command(command: Command) -> None:
    """Note what came."""
    with history.run(command):
        note(session=command.session, id=command.id, body=command.body)
