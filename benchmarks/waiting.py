"""What sessions cost while they wait: memory, passes of the dispatcher, sends; beside tasks with a ``countdown``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, islice
from statistics import median

import redis

from benchmarks.sheet import Bars, Sheet
from benchmarks.stage import POLL, STUCK, Role, Stage, stage
from celery_inbox.worker.partitions import all_partitions

SIZES = (1000, 10_000, 100_000)
MOST_TASKS = 10_000
"""Sizes above this are not measured with tasks: sending them alone would take minutes."""
BODY = {"text": "the build is green again, shall we go on?", "from": 4211}
MANY = 500
HOUR = 3600
PASSES = 20
SENDS = 100
SETTLED = 2.5
"""Seconds in which a dispatcher has looked at everything twice."""
MICROSECONDS = 1e6
TITLE = "What waiting sessions cost"
ROLES = {"idle": [Role(["--inbox", "idle=all"])], "countdown": [Role(["-Q", "countdown"])]}
HEADINGS = (
    "waiting",
    "server bytes each, besides the body",
    "worker MiB more",
    "pass µs",
    "to the least size",
    "send µs",
    "to the least size",
    "task: server bytes each",
    "task: worker bytes each",
)


@dataclass(slots=True)
class Size:
    """So many sessions on a server of their own."""

    waiting: int
    ready: Stage
    client: redis.Redis
    server_bytes: float = 0.0
    """Of each session, besides the body."""
    worker_bytes: int = 0
    """More than before they came."""
    task_server_bytes: float | None = None
    """Of each task with its body."""
    task_worker_bytes: float | None = None
    """Of each task."""
    passes: list[float] = field(default_factory=list)
    """Seconds, median of each round."""
    sends: list[float] = field(default_factory=list)
    """Seconds, median of each round."""

    def used(self) -> int:
        return int(self.client.info("memory")["used_memory"])


def fill(size: Size) -> None:
    """Let the sessions wait."""
    inbox, worker = size.ready.app.idle, size.ready.workers["idle"][0]
    had, resident = size.used(), worker.memory()
    messages = ((f"telegram:{number}", BODY, f"update:{number}") for number in range(size.waiting))
    while some := list(islice(messages, MANY)):
        inbox.send_many(some)
    payload = len(inbox.codec.encode(BODY, None))
    size.server_bytes = (size.used() - had) / size.waiting - payload
    time.sleep(SETTLED)
    size.worker_bytes = worker.memory() - resident
    worker.freeze()


def fill_tasks(size: Size) -> None:
    """Let as many tasks wait in a worker."""
    worker, app = size.ready.workers["countdown"][0], size.ready.app
    had, resident = size.used(), worker.memory()
    with app.app.producer_or_acquire() as producer:
        for number in range(size.waiting):
            app.countdown.apply_async((f"telegram:{number}", BODY), countdown=HOUR, producer=producer)
    deadline = time.monotonic() + STUCK
    while size.client.hlen("unacked") < size.waiting:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker has taken {size.client.hlen('unacked')} of {size.waiting} tasks")
        time.sleep(POLL)
    size.task_worker_bytes = (worker.memory() - resident) / size.waiting
    size.task_server_bytes = (size.used() - had) / size.waiting
    worker.freeze()


def timed(call: Callable[[], object], times: int) -> float:
    """Seconds, median of so many calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return median(taken)


def measure(size: Size, numbers: count[int]) -> None:
    """One round: passes of a dispatcher, and sends that open sessions."""
    inbox = size.ready.app.idle
    partitions = all_partitions(inbox.settings.partitions)
    size.passes.append(timed(lambda: inbox.store.dispatch(partitions, os.urandom(6).hex(), 1), PASSES))
    size.sends.append(timed(lambda: inbox.send(f"later:{next(numbers)}", BODY), SENDS))


def ratio(size: Size, least: Size, part: str) -> float:
    """Median of the rounds' ratios."""
    pairs = zip(getattr(size, part), getattr(least, part), strict=True)
    return float(median(one / other for one, other in pairs))


def run(rounds: int, sizes: Sequence[int] = SIZES) -> Sheet:
    """Measure every size by turns."""
    numbers = count()
    with ExitStack() as closing:
        found = []
        for waiting in sizes:
            ready = closing.enter_context(stage(ROLES, 0, lambda ready: ready.wait_ready(list(ROLES))))
            size = Size(waiting, ready, redis.Redis.from_url(ready.app.app.conf.broker_url))
            fill(size)
            if waiting <= MOST_TASKS:
                fill_tasks(size)
            else:
                ready.workers["countdown"][0].freeze()
            found.append(size)
        for _ in range(rounds):
            for size in found:
                measure(size, numbers)
    rows = [row(size, found[0]) for size in found]
    rows.append(["wanted", "at most 800", "", "", "", "", "0.8 x to 1.2 x", "", ""])
    drawn = [bars(found, "passes", "a pass of the dispatcher"), bars(found, "sends", "a send")]
    return Sheet(
        "waiting", f"{TITLE}; medians of {rounds} rounds", HEADINGS, rows, [figures(size) for size in found], drawn
    )


def run_million(rounds: int) -> Sheet:
    """The same, with a million as well."""
    sheet = run(rounds, (*SIZES, 1_000_000))
    return Sheet("million", sheet.title, sheet.headings, sheet.rows, sheet.figures, sheet.bars)


def row(size: Size, least: Size) -> list[str]:
    tasks = (size.task_server_bytes, size.task_worker_bytes)
    return [
        f"{size.waiting:,}",
        f"{size.server_bytes:.0f}",
        f"{size.worker_bytes / 2**20:.1f}",
        f"{median(size.passes) * MICROSECONDS:.0f}",
        f"{ratio(size, least, 'passes'):.2f} x",
        f"{median(size.sends) * MICROSECONDS:.0f}",
        f"{ratio(size, least, 'sends'):.2f} x",
        *("not measured" if each is None else f"{each:.0f}" for each in tasks),
    ]


def figures(size: Size) -> dict[str, object]:
    return {
        "waiting": size.waiting,
        "server_bytes_each": size.server_bytes,
        "worker_bytes": size.worker_bytes,
        "task_server_bytes_each": size.task_server_bytes,
        "task_worker_bytes_each": size.task_worker_bytes,
        "pass_seconds": size.passes,
        "send_seconds": size.sends,
    }


def bars(found: Sequence[Size], part: str, what: str) -> Bars:
    rounds = [[each * MICROSECONDS for each in getattr(size, part)] for size in found]
    return Bars(
        f"{TITLE}: {what}",
        "µs",
        [f"{size.waiting:,} waiting" for size in found],
        {what: [median(taken) for taken in rounds]},
        {what: [(min(taken), max(taken)) for taken in rounds]},
    )
