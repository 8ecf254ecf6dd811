"""The app of the measurements that ask when handlers start: they note it, then sleep."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

from benchmarks.diary import Diary
from celery_inbox import Batch, Command, Inbox

HOUR = 3600.0
DEBOUNCE = 0.5
"""Seconds; also Celery's countdown."""
SHORT_LEASE = 5.0
"""Seconds."""
FIRST = 0
LAST = 9
"""Priorities, as kombu has them on Redis."""

NAP = float(os.environ["BENCH_NAP"])
"""Seconds that a handler of messages sleeps."""

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)
diary = Diary(Path(os.environ["BENCH_DIARY"]))


def serve(name: str, debounce: float, lease: float = 30.0, partitions: int = 32) -> Inbox:
    """An inbox whose handlers note their start."""
    inbox = Inbox(app, name, debounce=debounce, max_wait=HOUR, lease=lease, partitions=partitions)

    @inbox.handler(name=f"{name}.batch")
    def batch(batch: Batch) -> None:
        diary.add(name, batch.session, batch[0].at / 1000 + debounce)
        time.sleep(NAP)

    @inbox.command_handler(name=f"{name}.command")
    def command(command: Command) -> None:
        diary.add(f"{name}.command", command.session, command.body)

    return inbox


late = serve("late", DEBOUNCE)
apart = serve("apart", 0)
"""Its commands have a worker of their own."""
shared = serve("shared", 0)
"""Its commands have not."""
short = serve("short", 0, SHORT_LEASE)
idle = serve("idle", HOUR)
wide = serve("wide", 0, partitions=256)


@app.task(name="bench.countdown", queue="countdown")  # type: ignore[untyped-decorator]
def countdown(session: str, due: float) -> None:
    diary.add("countdown", session, due)
    time.sleep(NAP)


@app.task(name="bench.plain", queue="plain")  # type: ignore[untyped-decorator]
def plain(session: str, due: float) -> None:
    diary.add("plain", session, due)
    time.sleep(NAP)


@app.task(name="bench.urgent", queue="plain")  # type: ignore[untyped-decorator]
def urgent(session: str, due: float) -> None:
    diary.add("urgent", session, due)


@app.task(name="bench.acks_late", queue="acks_late", acks_late=True)  # type: ignore[untyped-decorator]
def acks_late(session: str, due: float) -> None:
    diary.add("acks_late", session, due)
    time.sleep(NAP)
