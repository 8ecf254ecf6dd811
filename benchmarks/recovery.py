"""How soon a session is handled again after its worker was killed, beside Celery's ``acks_late``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Literal

from benchmarks.sheet import Bars, Sheet
from benchmarks.stage import POLL, Role, Stage, stage

Peer = Literal["acks_late", "apart", "short"]
NAMES: dict[Peer, str] = {
    "acks_late": "acks_late, visibility_timeout 3600 s",
    "apart": "celery-inbox, lease 30 s",
    "short": "celery-inbox, lease 5 s",
}
MOST: dict[Peer, float] = {"apart": 31.0, "short": 6.0}
"""A lease and a dispatch interval, seconds: what the contract promises."""
CAP = 60.0
"""Seconds after which this measurement waits no longer."""
NAP = 300.0
"""Seconds that a handler sleeps: longer than all of this takes."""
APART = 0.7
"""Seconds from one session to the next, so that their leases were renewed at different times."""
TITLE = "From SIGKILL of a worker to the next start of its handlers"
HEADINGS = ("", "median s", "least to most s", "came back", "wanted")


WORDS: dict[Peer, Sequence[str]] = {
    "acks_late": ("-Q", "acks_late"),
    "apart": ("--inbox", "apart=all"),
    "short": ("--inbox", "short=all"),
}


def heir(peer: Peer) -> str:
    """Name of the worker that stands by."""
    return f"{peer}-heir"


def occupy(ready: Stage, sessions: int) -> None:
    """Have a handler of the first workers run for each session, then start the heirs."""
    for number in range(sessions):
        ready.app.acks_late.delay(f"s{number}", time.time())
        ready.app.apart.send(f"s{number}", "are you there?")
        ready.app.short.send(f"s{number}", "are you there?")
        time.sleep(APART)
    for peer in NAMES:
        ready.wait(peer, sessions)
        ready.hire(heir(peer), [Role(WORDS[peer], sessions, "prefork")])
    ready.wait_ready([heir(peer) for peer in NAMES])


def measure(ready: Stage, sessions: int) -> dict[Peer, list[float]]:
    """Kill the first workers; seconds until each session was started again, of those that were within the cap."""
    killed: dict[Peer, float] = {}
    for peer in NAMES:
        for worker in ready.workers[peer]:
            worker.kill()
        killed[peer] = time.time()
    again: dict[Peer, list[float]] = {}
    while True:
        for peer in NAMES:
            again[peer] = [start.at - killed[peer] for start in ready.starts(peer)[sessions:]]
        if all(len(found) >= sessions for found in again.values()) or time.time() > max(killed.values()) + CAP:
            return again
        time.sleep(POLL)


def run(rounds: int) -> Sheet:
    """Measure as many sessions as there are rounds, all at once: a round of its own would take a minute each."""
    first: dict[str, list[Role]] = {peer: [Role(words, rounds, "prefork")] for peer, words in WORDS.items()}
    with stage(first, NAP, lambda ready: occupy(ready, rounds)) as ready:
        found = measure(ready, rounds)
        for worker in (each for some in ready.workers.values() for each in some):
            worker.kill()
    rows = [row(peer, taken, rounds) for peer, taken in found.items()]
    figures = [{"name": NAMES[peer], "seconds": taken, "sessions": rounds} for peer, taken in found.items()]
    return Sheet("recovery", f"{TITLE}; {rounds} sessions", HEADINGS, rows, figures, [bars(found)])


def row(peer: Peer, taken: Sequence[float], sessions: int) -> list[str]:
    return [
        NAMES[peer],
        f"{median(taken):.1f}" if taken else f"not back after {CAP:.0f} s",
        f"{min(taken):.1f} to {max(taken):.1f}" if taken else "",
        f"{len(taken)} of {sessions}",
        f"at most {MOST[peer]:.0f} s" if peer in MOST else "",
    ]


def bars(found: dict[Peer, list[float]]) -> Bars:
    """Those that did not come back stand at the cap."""
    seconds = {peer: taken or [CAP] for peer, taken in found.items()}
    names = [NAMES[peer] + ("" if taken else f"\n(more than {CAP:.0f})") for peer, taken in found.items()]
    return Bars(
        TITLE,
        "s",
        [name.replace(", ", "\n") for name in names],
        {"kill to next start": [median(taken) for taken in seconds.values()]},
        {"kill to next start": [(min(taken), max(taken)) for taken in seconds.values()]},
    )
