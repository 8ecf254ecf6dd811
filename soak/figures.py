"""What the soak prints: every minute the six checks, lateness and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from celery_inbox.testing.report import CHECKS
from soak.chaos import Chaos
from soak.ground import Ground, resident
from soak.judge import Judge

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Lateness:
    """Claim minus due time of the batches since the last look, as bounds of buckets, ms."""

    p50: str
    p99: str


class Figures:
    """Prints a table per minute.

    Args:
        console: Where.
        ground: Whose memory.
        judges: Whose findings.
        chaos: Whose faults.
    """

    def __init__(self, console: Console, ground: Ground, judges: list[Judge], chaos: Chaos) -> None:
        self.console = console
        self.ground = ground
        self.judges = judges
        self.chaos = chaos
        self._lateness: dict[str, Mapping[str, int]] = {}

    def show(self, minute: float) -> None:
        """Print the state of things; Redis is up."""
        table = Table(title=f"after {minute:.1f} minutes", title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("side", "sessions", "messages", "runs", "late p50", "late p99", "workers", "broker", "restarts"):
            table.add_column(name, justify="left" if name == "side" else "right", no_wrap=True)
        for judge in self.judges:
            late = self._late(judge)
            table.add_row(
                f"{judge.side.name} ({judge.side.broker.kind})",
                f"{judge.judged:,} + {judge.open}",
                f"{judge.accepted:,}",
                f"{judge.runs:,}",
                late.p50,
                late.p99,
                mib(judge.side.memory()),
                mib(judge.side.broker.memory()),
                f"{self.chaos.restarted[judge.side.name]}",
            )
        self.console.print(table)
        used = int(self.ground.client.info("memory")["used_memory"])
        own = resident([self.ground.own_pid])
        self.console.print(f"  Redis used_memory {mib(used)}, this process {mib(own)}, {self._faults()}")
        for line in self._checks():
            self.console.print(f"  {line}")

    def _late(self, judge: Judge) -> Lateness:
        now = judge.side.direct.stats().lateness
        before = self._lateness.get(judge.side.name, {})
        self._lateness[judge.side.name] = now
        return lateness({bound: count - before.get(bound, 0) for bound, count in now.items()})

    def _faults(self) -> str:
        return f"{self.chaos.strikes.counts.total()} faults"

    def _checks(self) -> Iterable[str]:
        """What stands here is 0, or excused by a fault: the first violation ends the soak."""
        excused: Counter[str] = Counter()
        causes: dict[str, Counter[str]] = {check: Counter() for check in CHECKS}
        for judge in self.judges:
            for (check, cause), times in judge.excused.items():
                excused[check] += times
                causes[check][cause] += times
        for check in CHECKS:
            why = ", ".join(f"{times} {cause}" for cause, times in causes[check].most_common())
            yield f"{check:<11}none{f'; excused {excused[check]}: {why}' if why else ''}"


def lateness(counts: Mapping[str, int]) -> Lateness:
    """Percentiles of a histogram."""
    return Lateness(percentile(counts, 0.5), percentile(counts, 0.99))


def percentile(counts: Mapping[str, int], share: float) -> str:
    """Upper bound of the bucket that holds a percentile, with its unit."""
    total, seen = sum(counts.values()), 0
    for bound, count in counts.items():
        seen += count
        if total and seen >= share * total:
            return f"> {previous(counts)} ms" if bound == "more" else f"≤ {bound} ms"
    return "-"


def previous(counts: Mapping[str, int]) -> str:
    """The widest bucket that has a bound."""
    return [bound for bound in counts if bound != "more"][-1]


def mib(size: int) -> str:
    """Write bytes."""
    return f"{size / MIB:.0f} MiB"
