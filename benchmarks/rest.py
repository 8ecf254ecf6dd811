"""What a worker takes of a processor while it has nothing to do, beside a plain one."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.sheet import Bars, Sheet
from benchmarks.stage import Role, Stage, stage

NAMES = {"countdown": "plain worker, 1 queue", "late": "32 partitions", "wide": "256 partitions"}
WORDS = {"countdown": ["-Q", "countdown"], "late": ["--inbox", "late=all"], "wide": ["--inbox", "wide=all"]}
WANTED = {"wide": "2 %"}
SPAN = 4.0
"""Seconds of a round."""
SETTLED = 3.0
"""Seconds until all that a start brings along is over."""
TITLE = "Processor time of a worker at rest"
HEADINGS = ("", "% of a core", "least to most", "wanted")


def settle(ready: Stage) -> None:
    ready.wait_ready(list(NAMES))
    time.sleep(SETTLED)


def measure(ready: Stage) -> dict[str, float]:
    """Percent of a core of each worker in a round; they rest side by side."""
    before = {peer: ready.workers[peer][0].cpu() for peer in NAMES}
    began = time.perf_counter()
    time.sleep(SPAN)
    used = {peer: ready.workers[peer][0].cpu() - before[peer] for peer in NAMES}
    return {peer: 100 * seconds / (time.perf_counter() - began) for peer, seconds in used.items()}


def run(rounds: int) -> Sheet:
    """Measure all workers at once."""
    roles = {peer: [Role(words)] for peer, words in WORDS.items()}
    with stage(roles, 0, settle) as ready:
        taken = [measure(ready) for _ in range(rounds)]
    found = {peer: [one[peer] for one in taken] for peer in NAMES}
    rows = [
        [NAMES[peer], f"{median(each):.2f}", f"{min(each):.2f} to {max(each):.2f}", WANTED.get(peer, "")]
        for peer, each in found.items()
    ]
    drawn = Bars(
        TITLE,
        "% of a core",
        list(NAMES.values()),
        {"at rest": [max(median(each), 0.01) for each in found.values()]},
        {"at rest": [(min(median(each), *each), max(median(each), 0.01, *each)) for each in found.values()]},
    )
    figures = [{"name": NAMES[peer], "percent": each} for peer, each in found.items()]
    return Sheet("rest", f"{TITLE}; medians of {rounds} rounds", HEADINGS, rows, figures, [drawn])
