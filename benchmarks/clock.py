"""Measure peers by turns, so that a noisy machine disturbs them alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to measure."""

    name: str
    run: Callable[[], object]
    messages: int
    """Messages that one run sends."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one message cost, in microseconds."""

    name: str
    cpu: float
    """Processor time of this process, median of the rounds."""
    cpu_spread: tuple[float, float]
    """Least and most of the rounds."""
    wall: float
    """Elapsed time, median of the rounds."""
    cheaper: float
    """How many times cheaper than the first subject in processor time: median of the rounds' ratios."""


def measure(subjects: list[Subject], rounds: int, runs: int) -> list[Cost]:
    """Run every subject ``runs`` times in each of ``rounds`` rounds."""
    cpu: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    wall: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for subject in subjects:
        subject.run()
    for _ in range(rounds):
        for subject in subjects:
            repeats = max(runs // subject.messages, 1)
            cpu_began, wall_began = time.process_time(), time.perf_counter()
            for _ in range(repeats):
                subject.run()
            sent = repeats * subject.messages / MICROSECONDS
            cpu[subject.name].append((time.process_time() - cpu_began) / sent)
            wall[subject.name].append((time.perf_counter() - wall_began) / sent)
    peer = cpu[subjects[0].name]
    return [
        Cost(
            name,
            median(costs),
            (min(costs), max(costs)),
            median(wall[name]),
            median(theirs / ours for theirs, ours in zip(peer, costs, strict=True)),
        )
        for name, costs in cpu.items()
    ]
