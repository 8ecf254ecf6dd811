"""How late handlers start, beside Celery's ``countdown`` and a worker that loses no time."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from statistics import quantiles
from typing import Literal

from benchmarks.sheet import Bars, Sheet
from benchmarks.stage import Role, Stage, stage

Peer = Literal["countdown", "late"]
NAMES: dict[Peer, str] = {"countdown": "countdown", "late": "celery-inbox"}
IDEAL = "a worker that loses no time"
NAP = 0.005
LOADS = (0.1, 0.5, 0.8)
"""Shares of its time in which the one slot sleeps in a handler."""
SPAN = 2.0
"""Seconds of sending in a round."""
TITLE = "Lateness of handlers, one solo worker"
ROLES = {"countdown": [Role(["-Q", "countdown"])], "late": [Role(["--inbox", "late=all"])]}
HEADINGS = ("load", "peer", "p50 ms", "p99 ms", "p99.9 ms", "least to most ms", "starts", "wanted")
WANTED = {(0.1, "late"): "p50 4 ms", (0.5, "late"): "p50 4 ms, p99 15 ms"}


def arrivals(load: float, number: int) -> list[float]:
    """Random instants (Poisson) in seconds, the same for every peer."""
    dice, instants, at = random.Random(f"{load} {number}"), [], 0.0
    while (at := at + dice.expovariate(load / NAP)) < SPAN:
        instants.append(at)
    return instants


def ideal(instants: Sequence[float], slots: int = 1) -> list[float]:
    """Lateness of a queue whose slots take the next one at once: what the load itself costs."""
    free, late = [0.0] * slots, []
    for at in instants:
        start = max(at, heapq.heappop(free))
        heapq.heappush(free, start + NAP)
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
    """Measure each load."""
    found: dict[tuple[float, str], list[float]] = {}
    with stage(ROLES, NAP, warm_up) as ready:
        for number in range(rounds):
            for load in LOADS:
                instants = arrivals(load, number)
                for peer, name in NAMES.items():
                    late = measure(ready, peer, instants, f"{load}-{number}")
                    found.setdefault((load, name), []).extend(late)
                found.setdefault((load, IDEAL), []).extend(ideal(instants))
    rows = [row(load, name, late) for (load, name), late in found.items()]
    figures = [{"load": load, "peer": name, "seconds": late} for (load, name), late in found.items()]
    drawn = [bars(found, "p50", 50), bars(found, "p99", 99)]
    return Sheet("lateness", f"{TITLE}; {rounds} rounds together", HEADINGS, rows, figures, drawn)


def percentile(late: Sequence[float], percent: float) -> float:
    """Milliseconds."""
    return quantiles(late, n=1000, method="inclusive")[round(percent * 10) - 1] * 1000


def row(load: float, name: str, late: Sequence[float]) -> list[str]:
    peer = next((peer for peer, known in NAMES.items() if known == name), "")
    return [
        f"{load:.0%}" if peer == "countdown" else "",
        name,
        *(f"{percentile(late, percent):.1f}" for percent in (50, 99, 99.9)),
        f"{min(late) * 1000:.1f} to {max(late) * 1000:.1f}",
        f"{len(late)}",
        WANTED.get((load, peer), ""),
    ]


def bars(found: dict[tuple[float, str], list[float]], word: str, percent: float) -> Bars:
    """The heights of every peer at every load; the spread of a percentile is not known."""
    legends = [*NAMES.values(), IDEAL]
    heights = {name: [max(percentile(found[load, name], percent), 0.1) for load in LOADS] for name in legends}
    spreads = {name: [(height, height) for height in heights[name]] for name in legends}
    return Bars(f"{TITLE}: {word}", "ms", [f"{load:.0%} load" for load in LOADS], heights, spreads)
