"""How fast workers drain what was loaded beforehand, with handlers that do nothing."""

from __future__ import annotations

from benchmarks.ends import Wanted, measure
from benchmarks.producer import Peer
from benchmarks.scene import Scene, Setup
from benchmarks.sheet import Sheet

TITLE = "Draining what is due"
FEW: dict[Peer, int] = {"each": 1000, "together": 1000, "inbox": 20_000}
ONE_EACH: dict[Peer, int] = {"each": 1000, "together": 1000, "inbox": 4000}


def run(rounds: int) -> Sheet:
    """Measure each pool, and one worker beside two."""
    setups = [
        (Setup("bursts of 10, 1 solo worker", 10, FEW), Wanted(rate=20, cpu=25, batches_rate=20)),
        (Setup("1 per session, 1 solo worker", 1, ONE_EACH), Wanted(rate=3)),
        (Setup("bursts of 10, 2 solo workers", 10, FEW, workers=2), Wanted()),
        (Setup("bursts of 10, prefork -c 2", 10, FEW, pool="prefork", slots=2), Wanted()),
        (Setup("bursts of 10, threads -c 2", 10, FEW, pool="threads", slots=2), Wanted()),
    ]
    return measure("drain", TITLE, setups, rounds, Scene.drain)
