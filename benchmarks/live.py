"""How fast messages travel from a producer through the server to a worker, all on the same processors."""

from __future__ import annotations

from benchmarks.ends import Wanted, measure
from benchmarks.producer import Peer
from benchmarks.scene import Scene, Setup
from benchmarks.sheet import Sheet

TITLE = "Live"
DEBOUNCE = 0.2
"""Seconds; part of the time that is measured, for the last burst waits so long."""
SINGLE: dict[Peer, int] = {"each": 1500, "together": 1500, "inbox": 12_000}
BULK: dict[Peer, int] = {"each": 1500, "together": 1500, "inbox": 30_000}


def run(rounds: int) -> Sheet:
    """Measure single and bulk sends."""
    setups = [
        (Setup("send, 1 worker", 10, SINGLE, many=False, debounce=DEBOUNCE), Wanted(rate=5)),
        (Setup("send_many, 1 worker", 10, BULK, debounce=DEBOUNCE), Wanted(rate=10)),
        (Setup("send_many, 2 workers", 10, BULK, workers=2, debounce=DEBOUNCE), Wanted()),
    ]
    return measure("live", TITLE, setups, rounds, Scene.live)
