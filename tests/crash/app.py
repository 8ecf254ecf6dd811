"""The app of the workers that these tests kill; what a handler does stands in its messages.

A message whose body has ``do`` makes its handler do a deed on the first ``attempts`` attempts (1), or, with ``during``,
as long as the mark of that name exists.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from celery_inbox import Batch, Command, Inbox
from celery_inbox.testing import History
from faults.points import IN_HANDLER, Points

imports = None

app = Celery("celery_test_app")
config = None

if config:
    app.config_from_object(config)

told = json.loads(os.environ["CRASH_SCENE"])
app.conf.update(told["conf"])
history = History(told["history"])
marks = Path(told["marks"])
points = Points(marks)


def fail(body: dict[str, Any]) -> None:
    raise RuntimeError("asked to fail")


class Unspeakable(Exception):
    """Has neither a text nor a representation."""

    def __str__(self) -> str:
        raise TypeError("no text")

    __repr__ = __str__


def fail_unspeakably(body: dict[str, Any]) -> None:
    raise Unspeakable


def fail_beyond_utf8(body: dict[str, Any]) -> None:
    """As with the name of a file that is not in UTF-8."""
    raise OSError("no such file: \udcff")


def leave(body: dict[str, Any]) -> None:
    sys.exit(1)


def run_out_of_memory(body: dict[str, Any]) -> None:
    raise MemoryError


def interrupt(body: dict[str, Any]) -> None:
    raise KeyboardInterrupt


def drop_dead(body: dict[str, Any]) -> None:
    os._exit(1)


def kill_itself(body: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(body: dict[str, Any]) -> None:
    """Until the mark named by ``until`` exists, or for ``seconds``."""
    ends_at = time.monotonic() + body.get("seconds", 60)
    while time.monotonic() < ends_at and not (marks / body.get("until", "the end of time")).exists():
        time.sleep(0.01)


def ignore_the_soft_limit(body: dict[str, Any]) -> None:
    while True:
        try:
            wait({})
        except SoftTimeLimitExceeded:
            continue


def hang(body: dict[str, Any]) -> None:
    """Deaf to all signals but SIGKILL, as in a library that never returns."""
    for deaf in (signal.SIGUSR1, signal.SIGTERM):  # the soft and the hard time limit
        signal.signal(deaf, signal.SIG_IGN)
    wait({})


DEEDS = {
    deed.__name__: deed
    for deed in (
        fail, fail_unspeakably, fail_beyond_utf8, leave, run_out_of_memory, interrupt, drop_dead, kill_itself, wait,
        ignore_the_soft_limit, hang,
    )
}  # fmt: skip


def is_asked_for(body: dict[str, Any], attempt: int) -> bool:
    if "during" in body:
        during: str = body["during"]
        return (marks / during).exists()
    attempts: int = body.get("attempts", 1)
    return attempt <= attempts


def handle(batch: Batch) -> None:
    with history.run(batch):
        points.reach(IN_HANDLER)
        for message in batch:
            if "do" in message.body and is_asked_for(message.body, batch.attempt):
                DEEDS[message.body["do"]](message.body)


if (marks / "partitions").exists():
    told["settings"]["partitions"] = int((marks / "partitions").read_text())

chat = Inbox(app, "chat", **told["settings"])
limited = Inbox(app, "limited", **told["settings"])

chat.handler(name="chat.reply", **told["handler"])(handle)
limited.handler(name="limited.reply", soft_time_limit=1, time_limit=2, **told["handler"])(handle)


calm = Inbox(app, "calm", **told["settings"])


@calm.handler(name="calm.reply", **told["handler"])
async def answer(batch: Batch) -> None:
    with history.run(batch):
        await asyncio.sleep(0)


@chat.command_handler(name="chat.command", **told["handler"])
def command(command: Command) -> None:
    with history.run(command):
        if "do" in command.body and is_asked_for(command.body, command.attempt):
            DEEDS[command.body["do"]](command.body)


points.watch()
