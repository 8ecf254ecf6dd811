"""Sheets of the two parts that measure from end to end: the same figures, found in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.producer import Peer
from benchmarks.scene import NAMES, Round, Scene, Setup, run
from benchmarks.sheet import Bars, Sheet

HEADINGS = (
    "",
    "peer",
    "messages/s",
    "least to most",
    "inbox is faster",
    "worker CPU µs",
    "less CPU",
    "server CPU µs",
    "producer CPU µs",
    "wanted",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the contract wants of a setup, as ratios to one task per message."""

    rate: float | None = None
    cpu: float | None = None
    batches_rate: float | None = None
    """As a ratio to celery-batches."""

    def of(self, peer: Peer) -> str:
        """For the line of a peer."""
        rate = {"each": self.rate, "together": self.batches_rate, "inbox": None}[peer]
        said = [] if rate is None else [f"{rate:g} x"]
        if peer == "each" and self.cpu is not None:
            said.append(f"CPU {self.cpu:g} x")
        return ", ".join(said)


def measure(
    name: str, title: str, setups: Sequence[tuple[Setup, Wanted]], rounds: int, way: Callable[[Scene, Peer], Round]
) -> Sheet:
    """Run every setup and put it down."""
    rows = []
    for setup, wanted in setups:
        run(setup, rounds, way)
        rows += [row(setup, peer, wanted) for peer in setup.peers]
    done = [setup for setup, _ in setups]
    pictures = [
        bars(f"{title}: throughput", "messages/s", done, "rate"),
        bars(f"{title}: processor time of the workers", "µs per message", done, "worker"),
    ]
    return Sheet(name, f"{title}; medians of {rounds} rounds", HEADINGS, rows, figures(done), pictures)


def row(setup: Setup, peer: Peer, wanted: Wanted) -> list[str]:
    low, high = setup.spread(peer, "rate")
    ours = peer == "inbox"
    return [
        setup.name if peer == setup.peers[0] else "",
        NAMES[peer],
        f"{setup.of(peer, 'rate'):,.0f}",
        f"{low:,.0f} to {high:,.0f}",
        "" if ours else f"{1 / setup.ratio(peer, 'rate'):.1f} x",
        f"{setup.of(peer, 'worker'):.0f}",
        "" if ours else f"{setup.ratio(peer, 'worker'):.1f} x",
        f"{setup.of(peer, 'server'):.0f}",
        f"{setup.of(peer, 'producer'):.0f}",
        wanted.of(peer),
    ]


def bars(title: str, unit: str, setups: Sequence[Setup], part: str) -> Bars:
    peers = setups[0].peers
    return Bars(
        title,
        unit,
        [setup.name.replace(", ", "\n") for setup in setups],
        {NAMES[peer]: [setup.of(peer, part) for setup in setups] for peer in peers},
        {NAMES[peer]: [setup.spread(peer, part) for setup in setups] for peer in peers},
    )


def figures(setups: Sequence[Setup]) -> list[dict[str, object]]:
    """Everything that was measured, by setup."""
    return [
        {
            "name": setup.name,
            "burst": setup.burst,
            "workers": setup.workers,
            "pool": setup.pool,
            "slots": setup.slots,
            "debounce": setup.debounce,
            "send_many": setup.many,
            "messages": {NAMES[peer]: setup.messages[peer] for peer in setup.peers},
            "rounds": {NAMES[peer]: setup.rounds[peer] for peer in setup.peers},
            "inbox_is_faster": {NAMES[peer]: 1 / setup.ratio(peer, "rate") for peer in setup.peers},
            "inbox_takes_less_worker_cpu": {NAMES[peer]: setup.ratio(peer, "worker") for peer in setup.peers},
        }
        for setup in setups
    ]
