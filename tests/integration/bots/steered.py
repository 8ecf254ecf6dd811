"""A bot with as many inboxes as the test says, whose handlers take one deed after the other from their messages."""

import asyncio
import builtins
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.utils.dispatch import Signal

from celery_inbox import Batch, Command, Inbox
from celery_inbox.observe import signals as moves
from celery_inbox.testing import History

imports = None

app = Celery("celery_test_app")
config = None

if config:
    app.config_from_object(config)

history = History(os.environ["HISTORY"])
marks = Path(os.environ["MARKS"])
PAUSE = 0.01  # seconds
TAKE = -1.0  # stands for a call of take_new where a deed asks for a pause

Steps = Iterator[float]


def note(**facts: Any) -> None:
    """Append a line to the notes."""
    line = json.dumps({"pid": os.getpid(), "at": time.time(), **facts}).encode() + b"\n"
    file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line)
    os.close(file)


# Deeds: each yields the pauses that it needs, in which an async handler can be cancelled.


def sleep(task: Any, work: Any, seconds: float) -> Steps:
    """Pause once."""
    yield seconds


def until(task: Any, work: Any, mark: str) -> Steps:
    """Wait for a mark; noticed at once that the batch was cancelled or lost, but not obeyed."""
    while not (marks / mark).exists():
        yield PAUSE


def until_cancelled(task: Any, work: Any, given: list[str]) -> Steps:
    """Look at ``cancelled`` all the time, unless there is a mark; then return or raise."""
    ending, mark = given
    while not work.cancelled:
        if (marks / mark).exists():
            return
        yield PAUSE
    note(saw="cancelled", session=work.session)
    if ending == "raise":
        raise RuntimeError("stopped, as asked")


def until_lost(task: Any, work: Any, _: Any) -> Steps:
    """Look at ``lost`` all the time."""
    while not work.lost:
        yield PAUSE
    note(saw="lost", session=work.session)


def take(task: Any, work: Any, mark: str) -> Steps:
    """Wait for a mark, then let join what has come; only a first attempt does."""
    if work.attempt == 1:
        yield from until(task, work, mark)
        known = len(work)
        yield TAKE
        note(session=work.session, took=[message.id for message in work[known:]])


def take_all(task: Any, work: Any, mark: str) -> Steps:
    """Wait for a mark, then let join what has come until nothing joins."""
    known = -1
    while known != len(work):
        known = len(work)
        yield from take(task, work, mark)


def fail(task: Any, work: Any, given: list[Any]) -> Steps:
    """Raise something, on so many attempts."""
    name, attempts = given
    if work.attempt <= attempts:
        if name == "retry":
            task.retry(countdown=0.6)
        raise ENDINGS[name]() if name in ENDINGS else getattr(builtins, name)("asked to fail")
    yield 0


def fail_without(task: Any, work: Any, mark: str) -> Steps:
    """Raise unless there is a mark."""
    if not (marks / mark).exists():
        raise ValueError("asked to fail")
    yield 0


ENDINGS: dict[str, Callable[[], Exception]] = {
    "Reject": lambda: Reject("not for us"),
    "Requeue": lambda: Reject("not now", requeue=True),
    "Ignore": Ignore,
    "SoftTimeLimitExceeded": SoftTimeLimitExceeded,
}
DEEDS: dict[str, Callable[[Any, Any, Any], Steps]] = {
    deed.__name__: deed for deed in (sleep, until, until_cancelled, until_lost, take, take_all, fail, fail_without)
}


def deeds(task: Any, work: Batch | Command) -> Steps:
    """What the messages say, in their order; one that says nothing is plain text."""
    for message in [work.message] if isinstance(work, Command) else work:
        orders = message.body if isinstance(message.body, dict) else {}
        for name, order in orders.items():
            if name in DEEDS:
                yield from DEEDS[name](task, work, order)


def plain(task: Any, work: Any) -> None:
    """A handler of either kind."""
    with history.run(work):
        for pause in deeds(task, work):
            if pause == TAKE:
                work.take_new()
            else:
                time.sleep(pause)


async def coroutine(task: Any, work: Any) -> None:
    """The same, async."""
    with history.run(work):
        for pause in deeds(task, work):
            if pause == TAKE:
                await work.atake_new()
            else:
                await asyncio.sleep(pause)


def options(told: dict[str, Any]) -> dict[str, Any]:
    """Options as a decorator takes them; JSON has no exception classes."""
    classes = {"autoretry_for": tuple(getattr(builtins, name) for name in told.get("autoretry_for", ()))}
    return {name: classes.get(name, value) for name, value in told.items() if name not in ("is_async", "command")}


inboxes = []
for name, told in json.loads(os.environ["HANDLERS"]).items():
    inbox = Inbox(app, name)
    inbox.handler(name=f"{name}.reply", bind=True, **options(told))(coroutine if told.get("is_async") else plain)
    on_command = told.get("command", {})
    inbox.command_handler(name=f"{name}.command", bind=True, **options(on_command))(
        coroutine if on_command.get("is_async") else plain
    )
    inboxes.append(inbox)


def listen(name: str, signal: Signal) -> None:
    """Note every signal with the names of what it carries."""

    def receive(sender: Any = None, **payload: Any) -> None:
        payload.pop("signal")
        place = payload.get("address") or getattr(payload.get("claim"), "address", None)
        session = payload.get("session") or getattr(place, "session", None)
        note(signal=name, sender=str(sender), payload=sorted(payload), session=session)

    signal.connect(receive, weak=False)


for name, signal in vars(moves).items():
    if isinstance(signal, Signal):
        listen(name, signal)


def hear(name: str) -> None:
    """Note a signal of Celery's."""

    def receive(sender: Any = None, **payload: Any) -> None:
        error = payload.get("exception") or payload.get("reason")
        note(signal=name, sender=sender.name, error=None if error is None else type(error).__name__)

    getattr(signals, name).connect(receive, weak=False)


for name in ("task_success", "task_retry", "task_failure"):
    hear(name)
