"""How long commands wait while a flood of batches keeps every slot busy, beside priorities of plain Celery."""

from __future__ import annotations

import time
from typing import Literal

from benchmarks.lateness import percentile
from benchmarks.sheet import Bars, Sheet
from benchmarks.stage import Role, Stage, stage

Peer = Literal["plain", "shared", "apart"]
NAMES: dict[Peer, str] = {
    "plain": "priority 0 on one queue of plain Celery",
    "shared": "command, same worker",
    "apart": "command, worker of its own",
}
KINDS: dict[Peer, str] = {"plain": "urgent", "shared": "shared.command", "apart": "apart.command"}
NAP = 0.1
"""Seconds that a handler of the flood sleeps."""
SLOTS = 2
BACKLOG = 120
"""Sessions of the flood for each round: more than the slots do in it."""
COMMANDS = 30
"""In a round."""
APART = 0.05
"""Seconds from one command to the next."""
TITLE = "Latency of a command under a flood"
ROLES = {
    "plain": [Role(["-Q", "plain"], SLOTS, "prefork")],
    "shared": [Role(["--inbox", "shared=all,command"], SLOTS, "prefork")],
    "apart": [
        Role(["--inbox", "apart=all"], SLOTS, "prefork"),
        Role(["--inbox", "apart=command"], 1, "prefork"),
    ],
}
HEADINGS = ("", "p50 ms", "p99 ms", "most ms", "commands", "wanted")
WANTED = {"apart": "p99 50 ms"}


def pour(ready: Stage, peer: Peer, prefix: str, sessions: int) -> None:
    """The flood, due at once."""
    names = [f"{prefix}:{number}" for number in range(sessions)]
    if peer == "plain":
        for name in names:
            ready.app.plain.apply_async((name, time.time()), priority=ready.app.LAST)
    else:
        getattr(ready.app, peer).send_many([(name, "and another thing") for name in names])


def command(ready: Stage, peer: Peer, session: str) -> None:
    """One command, due at once."""
    if peer == "plain":
        ready.app.urgent.apply_async((session, time.time()), priority=ready.app.FIRST)
    else:
        getattr(ready.app, peer).send_command(session, time.time())


def measure(ready: Stage, peer: Peer, prefix: str) -> list[float]:
    """Seconds from the send of each command to the start of its handler."""
    kind = KINDS[peer]
    flooded, before = len(ready.starts(peer)), len(ready.starts(kind))
    pour(ready, peer, prefix, BACKLOG)
    with ready.turn(peer):
        ready.wait(peer, flooded + 2 * SLOTS)
        for number in range(COMMANDS):
            command(ready, peer, f"{prefix}:c{number}")
            time.sleep(APART)
        done = len(ready.starts(peer)) - flooded
        starts = ready.wait(kind, before + COMMANDS)[before:]
    if done >= BACKLOG:
        raise RuntimeError(f"{peer}: the flood was over before the last command was sent: raise BACKLOG")
    return [start.at - start.due for start in starts]


def warm_up(ready: Stage) -> None:
    for peer, kind in KINDS.items():
        pour(ready, peer, "warm", 2 * SLOTS)
        command(ready, peer, "warm")
        ready.wait(peer, 2 * SLOTS)
        ready.wait(kind, 1)
        for worker in ready.workers[peer]:
            worker.freeze()


def run(rounds: int) -> Sheet:
    """Measure the peers by turns."""
    found: dict[Peer, list[list[float]]] = {peer: [] for peer in KINDS}
    with stage(ROLES, NAP, warm_up) as ready:
        for number in range(rounds):
            for peer, taken in found.items():
                taken.append(measure(ready, peer, f"r{number}"))
    together = {peer: [each for one in taken for each in one] for peer, taken in found.items()}
    rows = [
        [
            NAMES[peer],
            f"{percentile(taken, 50):.1f}",
            f"{percentile(taken, 99):.1f}",
            f"{max(taken) * 1000:.1f}",
            f"{len(taken)}",
            WANTED.get(peer, ""),
        ]
        for peer, taken in together.items()
    ]
    figures = [{"name": NAMES[peer], "seconds": taken} for peer, taken in found.items()]
    return Sheet("flood", f"{TITLE}; {rounds} rounds together", HEADINGS, rows, figures, [bars(found)])


def bars(found: dict[Peer, list[list[float]]]) -> Bars:
    """The median and its spread between rounds."""
    medians = {peer: [percentile(one, 50) for one in taken] for peer, taken in found.items()}
    together = {peer: percentile([each for one in taken for each in one], 50) for peer, taken in found.items()}
    return Bars(
        f"{TITLE}: p50",
        "ms",
        [NAMES[peer].replace(", ", "\n").replace(" on ", "\non ") for peer in found],
        {"send to start": list(together.values())},
        {
            "send to start": [
                (min(*medians[peer], together[peer]), max(*medians[peer], together[peer])) for peer in found
            ]
        },
    )
