"""A server and workers of several peers whose handlers note when they start; those that are not measured are frozen."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from socket import gethostname
from types import ModuleType

from benchmarks import diary
from benchmarks.diary import Start
from benchmarks.workers import Worker
from celery_inbox.embedded import Server

POLL = 0.01
STUCK = 60.0
"""Seconds after which what is waited for will not come."""
NOTING = "benchmarks.noting"
DIARY = "diary"


@dataclass(frozen=True, slots=True)
class Role:
    """One worker of a peer."""

    words: Sequence[str]
    slots: int = 1
    pool: str = "solo"


class Stage:
    """What is on it."""

    def __init__(self, app: ModuleType, folder: Path, closing: ExitStack) -> None:
        self.app = app
        """``benchmarks.noting``, bound to the server of this stage."""
        self.workers: dict[str, list[Worker]] = {}
        """By peer."""
        self._folder = folder
        self._closing = closing

    def hire(self, peer: str, roles: Sequence[Role]) -> None:
        """Start workers."""
        for number, role in enumerate(roles):
            log = self._folder / f"{peer}{number}.log"
            worker = Worker(role.words, os.environ, log, role.pool, role.slots, NOTING)
            self._closing.callback(worker.close)
            self.workers.setdefault(peer, []).append(worker)

    def wait_ready(self, peers: Sequence[str]) -> None:
        """Until the first worker of each peer answers a ping."""
        nodes = [f"{peer}0@{gethostname()}" for peer in peers]
        deadline = time.monotonic() + STUCK
        while len(self.app.app.control.ping(nodes, timeout=1.0)) < len(nodes):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all of {', '.join(nodes)} answer")

    def starts(self, kind: str) -> list[Start]:
        """What handlers of a kind have noted."""
        return [start for start in diary.read(self._folder / DIARY) if start.kind == kind]

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
        told = {"BENCH_BROKER": server.url, "BENCH_DIARY": str(folder / DIARY), "BENCH_NAP": str(nap)}
        os.environ.update(told)
        ready = Stage(fresh_app(), folder, closing)
        for peer, some in roles.items():
            ready.hire(peer, some)
        warm_up(ready)
        yield ready


def fresh_app() -> ModuleType:
    """The app in this process, which sends, as the environment has it now."""
    sys.modules.pop(NOTING, None)
    return import_module(NOTING)
