"""One server, one producer and the workers of every peer, measured by turns."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import redis

from benchmarks import tally
from benchmarks.producer import Peer, Producer
from benchmarks.workers import Worker, words_of
from celery_inbox.embedded import Server

PEERS: tuple[Peer, ...] = ("each", "together", "inbox")
NAMES: dict[Peer, str] = {"each": "task per message", "together": "celery-batches", "inbox": "celery-inbox"}
PARTITIONS = 32
WARM_UP = 200
POLL = 0.004
STUCK = 60.0
"""Seconds without a handled message after which a measurement has failed."""
MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one peer took, per message."""

    rate: float
    """Messages per second."""
    worker: float
    """Processor time of all workers, microseconds."""
    server: float
    """Processor time of Redis, microseconds."""
    producer: float
    """Processor time of the producer, microseconds."""


@dataclass(slots=True)
class Setup:
    """How many of what serve each peer, and how they are sent to."""

    name: str
    burst: int
    """Messages of a session, one behind the other."""
    messages: dict[Peer, int]
    """Messages of a round: enough for each peer's round to last a second or so."""
    workers: int = 1
    pool: str = "solo"
    slots: int = 1
    many: bool = True
    """Does the inbox get its messages by ``send_many``?"""
    debounce: float = 0.0
    """Seconds."""
    peers: tuple[Peer, ...] = PEERS
    rounds: dict[Peer, list[Round]] = field(default_factory=dict)

    def of(self, peer: Peer, part: str) -> float:
        """Median of the rounds."""
        return float(median(getattr(each, part) for each in self.rounds[peer]))

    def spread(self, peer: Peer, part: str) -> tuple[float, float]:
        """Least and most of the rounds."""
        found = [getattr(each, part) for each in self.rounds[peer]]
        return min(found), max(found)

    def ratio(self, peer: Peer, part: str, other: Peer = "inbox") -> float:
        """How many times a peer's figure is that of another: median of the rounds' ratios."""
        pairs = zip(self.rounds[peer], self.rounds[other], strict=True)
        return float(median(getattr(one, part) / getattr(another, part) for one, another in pairs))


class Scene:
    """What a setup runs on."""

    def __init__(self, setup: Setup, server: Server, folder: Path, closing: ExitStack) -> None:
        self._setup = setup
        self._client = redis.Redis.from_url(server.url)
        self._folder = folder
        self._environment = {
            **os.environ,
            "BENCH_BROKER": server.url,
            "BENCH_DEBOUNCE": str(setup.debounce),
            "BENCH_TALLY": str(folder / "tally"),
        }
        (folder / "tally").mkdir()
        self._producer = Producer(self._environment)
        closing.callback(self._producer.close)
        self._workers = {peer: self._start(peer, closing) for peer in setup.peers}
        for peer in setup.peers:
            self._warm_up(peer)

    def _start(self, peer: Peer, closing: ExitStack) -> list[Worker]:
        share = PARTITIONS // self._setup.workers
        started = []
        for number in range(self._setup.workers):
            partitions = f"{number * share}-{(number + 1) * share - 1}"
            log = self._folder / f"{peer}{number}.log"
            words = words_of(peer, partitions)
            worker = Worker(words, self._environment, log, self._setup.pool, self._setup.slots)
            closing.callback(worker.close)
            started.append(worker)
        return started

    def _warm_up(self, peer: Peer) -> None:
        """Connections are open, scripts loaded, children forked."""
        base = self._tally()
        self._producer.send(peer, WARM_UP, 1)
        self._wait(peer, base + WARM_UP)
        for worker in self._workers[peer]:
            worker.freeze()

    def _tally(self) -> int:
        return tally.read(self._folder / "tally")

    def _wait(self, peer: Peer, target: int) -> None:
        """Until so many messages were handled."""
        seen, since = 0, time.monotonic()
        while (now := self._tally()) < target:
            if now > seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > STUCK:
                raise RuntimeError(f"{peer}: {target - now} messages are still not handled")
            for worker in self._workers[peer]:
                worker.require_alive()
            time.sleep(POLL)

    def _server_cpu(self) -> float:
        info = self._client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def _worker_cpu(self, peer: Peer) -> float:
        return sum(worker.cpu() for worker in self._workers[peer])

    def drain(self, peer: Peer) -> Round:
        """Load while the workers are frozen; measure from their thaw to the last message."""
        messages = self._setup.messages[peer]
        sent = self._producer.send(peer, messages, self._setup.burst, self._setup.many)
        return self._measure(peer, messages, lambda: sent.cpu)

    def live(self, peer: Peer) -> Round:
        """Measure from the first send to the last handled message."""
        messages = self._setup.messages[peer]
        self._producer.start(peer, messages, self._setup.burst, self._setup.many)
        return self._measure(peer, messages, lambda: self._producer.finish().cpu)

    def _measure(self, peer: Peer, messages: int, producer_cpu: Callable[[], float]) -> Round:
        base, worker, server = self._tally(), self._worker_cpu(peer), self._server_cpu()
        began = time.perf_counter()
        for each in self._workers[peer]:
            each.thaw()
        self._wait(peer, base + messages)
        took = time.perf_counter() - began
        worker, server = self._worker_cpu(peer) - worker, self._server_cpu() - server
        for each in self._workers[peer]:
            each.freeze()
        share = MICROSECONDS / messages
        return Round(messages / took, worker * share, server * share, producer_cpu() * share)


@contextmanager
def scene(setup: Setup) -> Iterator[Scene]:
    """Start everything; all ends with the block."""
    with Server() as server, tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        yield Scene(setup, server, Path(folder), closing)


def run(setup: Setup, rounds: int, way: Callable[[Scene, Peer], Round]) -> Setup:
    """Measure every peer of a setup in each of so many rounds."""
    with scene(setup) as ready:
        for _ in range(rounds):
            for peer in setup.peers:
                setup.rounds.setdefault(peer, []).append(way(ready, peer))
    return setup
