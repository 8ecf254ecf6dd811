"""How late handlers start, beside Celery's ``countdown`` and a worker that loses no time."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Literal

from benchmarks.sheet import Bars, Sheet
from benchmarks.stage import Role, Stage, stage

Peer = Literal["countdown", "late"]
NAMES: dict[Peer, str] = {"countdown": "countdown", "late": "celery-inbox"}
IDEAL = "a worker that loses no time"
LOADS = (0.1, 0.5, 0.8)
"""Shares of their time in which the slots sleep in a handler."""
SPAN = 1.5
"""Seconds of sending in a round."""
TITLE = "Lateness of handlers"
HEADINGS = ("worker", "load", "peer", "p50 ms", "p99 ms", "p99.9 ms", "least to most ms", "starts", "wanted")
WANTED = {(0.1, "late"): "p50 4 ms", (0.5, "late"): "p50 4 ms, p99 15 ms"}


@dataclass(frozen=True, slots=True)
class Serving:
    """The worker of each peer."""

    name: str
    pool: str
    slots: int
    nap: float
    """Seconds that a handler sleeps."""

    def roles(self) -> dict[str, list[Role]]:
        return {
            "countdown": [Role(["-Q", "countdown"], self.slots, self.pool)],
            "late": [Role(["--inbox", "late=all"], self.slots, self.pool)],
        }


SERVINGS = (Serving("prefork -c 4, 20 ms", "prefork", 4, 0.02), Serving("solo, 5 ms", "solo", 1, 0.005))
Found = dict[tuple[Serving, float, str], list[float]]


def arrivals(serving: Serving, load: float, number: int) -> list[float]:
    """Random instants (Poisson) in seconds, the same for every peer."""
    dice, instants, at = random.Random(f"{load} {number}"), [], 0.0
    while (at := at + dice.expovariate(load * serving.slots / serving.nap)) < SPAN:
        instants.append(at)
    return instants


def ideal(serving: Serving, instants: Sequence[float]) -> list[float]:
    """Lateness of a queue whose slots take the next one at once: what the load itself costs."""
    free, late = [0.0] * serving.slots, []
    for at in instants:
        start = max(at, heapq.heappop(free))
        heapq.heappush(free, start + serving.nap)
        late.append(start - at)
    return late


def send(ready: Stage, peer: Peer, instants: Sequence[float], prefix: str) -> None:
    """One message for a session of its own at each instant."""
    began = time.perf_counter()
    for number, at in enumerate(instants):
        time.sleep(max(began + at - time.perf_counter(), 0))
        session = f"{prefix}:{number}"
        if peer == "late":
            ready.app.late.send(session, "go on")
        else:
            due = time.time() + ready.app.DEBOUNCE
            ready.app.countdown.apply_async((session, due), countdown=ready.app.DEBOUNCE)


def measure(ready: Stage, peer: Peer, instants: Sequence[float], prefix: str) -> list[float]:
    """Seconds from the due time to the start of each handler."""
    before = len(ready.starts(peer))
    with ready.turn(peer):
        send(ready, peer, instants, prefix)
        starts = ready.wait(peer, before + len(instants))[before:]
    return [start.at - start.due for start in starts]


def warm_up(ready: Stage) -> None:
    for peer in NAMES:
        send(ready, peer, [0.0] * 20, "warm")
        ready.wait(peer, 20)
        for worker in ready.workers[peer]:
            worker.freeze()


def run(rounds: int) -> Sheet:
    """Measure each load with each kind of worker."""
    found: Found = {}
    for serving in SERVINGS:
        with stage(serving.roles(), serving.nap, warm_up) as ready:
            for number in range(rounds):
                for load in LOADS:
                    instants = arrivals(serving, load, number)
                    for peer, name in NAMES.items():
                        late = measure(ready, peer, instants, f"{load}-{number}")
                        found.setdefault((serving, load, name), []).extend(late)
                    found.setdefault((serving, load, IDEAL), []).extend(ideal(serving, instants))
    rows = [row(serving, load, name, late) for (serving, load, name), late in found.items()]
    figures = [
        {"worker": serving.name, "load": load, "peer": name, "seconds": late}
        for (serving, load, name), late in found.items()
    ]
    drawn = [bars(found, "p50", 50), bars(found, "p99", 99)]
    return Sheet("lateness", f"{TITLE}; {rounds} rounds together", HEADINGS, rows, figures, drawn)


def percentile(late: Sequence[float], percent: float) -> float:
    """Milliseconds."""
    return quantiles(late, n=1000, method="inclusive")[round(percent * 10) - 1] * 1000


def row(serving: Serving, load: float, name: str, late: Sequence[float]) -> list[str]:
    peer = next((peer for peer, known in NAMES.items() if known == name), "")
    return [
        serving.name if (peer, load) == ("countdown", LOADS[0]) else "",
        f"{load:.0%}" if peer == "countdown" else "",
        name,
        *(f"{percentile(late, percent):.1f}" for percent in (50, 99, 99.9)),
        f"{min(late) * 1000:.1f} to {max(late) * 1000:.1f}",
        f"{len(late)}",
        WANTED.get((load, peer), ""),
    ]


def bars(found: Found, word: str, percent: float) -> Bars:
    """The heights of every peer at every load; the spread of a percentile is not known."""
    groups = [(serving, load) for serving in SERVINGS for load in LOADS]
    heights = {
        name: [max(percentile(found[serving, load, name], percent), 0.1) for serving, load in groups]
        for name in (*NAMES.values(), IDEAL)
    }
    spreads = {name: [(height, height) for height in heights[name]] for name in heights}
    names = [f"{serving.name.split(',')[0]}\n{load:.0%} load" for serving, load in groups]
    return Bars(f"{TITLE}: {word}", "ms", names, heights, spreads)
