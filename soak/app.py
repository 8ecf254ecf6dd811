"""The app of the workers that the soak starts; what a handler does stands in its messages."""

import time
from typing import Any

from celery import Celery
from celery.exceptions import Ignore, Reject

from celery_inbox import Batch, Command, Inbox
from celery_inbox.observe import signals
from celery_inbox.store.moves import Claim
from celery_inbox.testing import History
from soak.commits import Commits
from soak.told import Told

LONGEST = 5.0
"""Seconds for which a handler waits to be cancelled."""

told = Told.read()
app = Celery("soak", broker=told.broker)
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_connection_max_retries = None
history, commits = History(told.history), Commits(told.commits)
inbox = Inbox(app, told.name, **told.settings)


class AskedToFail(Exception):
    """A message said so."""


class Cancelled(Exception):
    """The handler saw that somebody has cancelled its batch."""


def remember(claim: Claim, **_: Any) -> None:
    commits.write(claim)


signals.acked.connect(remember)


def act(body: dict[str, Any], work: Batch | Command) -> None:
    """Do what a message asks for."""
    time.sleep(body.get("seconds", 0))
    match body.get("do"):
        case "fail" if work.attempt <= body["attempts"]:
            raise AskedToFail(f"attempt {work.attempt}")
        case "reject" if work.attempt == 1:
            raise Reject("asked to", requeue=False)
        case "ignore":
            raise Ignore
        case "spin":
            until = time.monotonic() + body["spin"]
            while time.monotonic() < until:
                pass
        case "await cancel":
            until = time.monotonic() + LONGEST
            while time.monotonic() < until:
                if work.cancelled:
                    raise Cancelled
                time.sleep(0.05)
        case "take new":
            assert isinstance(work, Batch)
            work.take_new()


def handle(work: Batch | Command) -> None:
    with history.run(work):
        messages = [work.message] if isinstance(work, Command) else list(work)
        for message in messages:
            act(message.body, work)


@inbox.handler(name="soak.reply", **told.handler)
def reply(batch: Batch) -> None:
    handle(batch)


@inbox.command_handler(name="soak.obey", **told.handler)
def obey(command: Command) -> None:
    handle(command)
