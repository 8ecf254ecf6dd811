"""The log of faults: what was done to whom, from when until when; the judge looks for causes in it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from celery_inbox.testing.history import now_ms

KEPT = 600_000
"""Milliseconds for which a strike may be the cause of something."""


@dataclass(slots=True)
class Strike:
    """One fault."""

    fault: str
    side: str
    """Name of the side, or ``both``."""
    at: int
    """Unix ms."""
    until: int | None = None
    """Unix ms; None while it lasts."""
    killed: dict[int, int] = field(default_factory=dict)
    """Processes that were killed, and when."""
    frozen: set[int] = field(default_factory=set)
    """Processes that stood while it lasted."""
    is_away: bool = False
    """Whether workers could not reach Redis, or not in time, while it lasted."""
    did: int = 0
    """How much of what it did: connections, kicks, processes. 0: it found nothing to strike."""

    def lasted(self, start: int, end: int) -> int:
        """Milliseconds of an interval in which the fault lasted."""
        return max(0, min(end, self.until or end) - max(start, self.at))

    def __str__(self) -> str:
        until = "" if self.until is None else f"-{self.until}"
        pids = [f"killed {sorted(self.killed)}"] if self.killed else []
        pids += [f"froze {sorted(self.frozen)}"] if self.frozen else []
        return f"{self.at}{until} {self.side}: {self.fault} ({self.did}) {' '.join(pids)}"


class Strikes:
    """All faults of late; any thread may ask."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Strikes that found something, by fault."""
        self._recent: list[Strike] = []
        self._lock = threading.Lock()

    def begin(self, fault: str, side: str) -> Strike:
        strike = Strike(fault, side, now_ms())
        with self._lock:
            self._recent = [each for each in self._recent if (each.until or strike.at) > strike.at - KEPT]
            self._recent.append(strike)
        return strike

    def end(self, strike: Strike) -> None:
        strike.until = now_ms()
        if strike.did:
            self.counts[strike.fault] += 1

    def of(self, side: str) -> Iterator[Strike]:
        """Strikes that a side has felt."""
        with self._lock:
            recent = list(self._recent)
        return (strike for strike in recent if strike.side in (side, "both"))
