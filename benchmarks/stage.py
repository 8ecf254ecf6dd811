"""A server and workers of several peers whose handlers note when they start; those that are not measured are frozen."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks import diary
from benchmarks.diary import Start
from benchmarks.workers import Worker
from celery_inbox.embedded import Server

POLL = 0.01
STUCK = 60.0
"""Seconds after which what is waited for will not come."""
NOTING = "benchmarks.noting"


@dataclass(frozen=True, slots=True)
class Role:
    """One worker of a peer."""

    words: Sequence[str]
    slots: int = 1
    pool: str = "solo"


class Stage:
    """What is on it."""

    def __init__(self, app: ModuleType, path: Path, workers: dict[str, list[Worker]]) -> None:
        self.app = app
        """``benchmarks.noting``, bound to the server of this stage."""
        self.workers = workers
        """By peer."""
        self._path = path

    def starts(self, kind: str) -> list[Start]:
        """What handlers of a kind have noted."""
        return [start for start in diary.read(self._path) if start.kind == kind]

    def wait(self, kind: str, count: int) -> list[Start]:
        """Until handlers of a kind have started so often."""
        deadline = time.monotonic() + STUCK
        while len(found := self.starts(kind)) < count:
            for worker in (each for some in self.workers.values() for each in some):
                worker.require_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{kind}: {len(found)} of {count} have started")
            time.sleep(POLL)
        return found

    @contextmanager
    def turn(self, peer: str) -> Iterator[None]:
        """Let the workers of a peer run for the length of the block."""
        for worker in self.workers[peer]:
            worker.thaw()
        try:
            yield
        finally:
            for worker in self.workers[peer]:
                worker.freeze()


@contextmanager
def stage(roles: Mapping[str, Sequence[Role]], nap: float, warm_up: Callable[[Stage], object]) -> Iterator[Stage]:
    """Start everything and warm it up; all ends with the block.

    Args:
        roles: The workers of each peer.
        nap: Seconds that handlers sleep.
        warm_up: Called once, while all workers run.
    """
    with Server() as server, tempfile.TemporaryDirectory() as name, ExitStack() as closing:
        folder = Path(name)
        told = {"BENCH_BROKER": server.url, "BENCH_DIARY": str(folder / "diary"), "BENCH_NAP": str(nap)}
        os.environ.update(told)
        workers = {
            peer: [
                Worker(role.words, os.environ, folder / f"{peer}{number}.log", role.pool, role.slots, NOTING)
                for number, role in enumerate(some)
            ]
            for peer, some in roles.items()
        }
        for worker in (each for some in workers.values() for each in some):
            closing.callback(worker.close)
        ready = Stage(app_of(server.url), folder / "diary", workers)
        warm_up(ready)
        yield ready


def app_of(url: str) -> ModuleType:
    """The app in this process, which sends."""
    app = import_module(NOTING)
    app.app.conf.broker_url = url
    return app
