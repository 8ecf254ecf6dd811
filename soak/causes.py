"""What the contract allows, and only when a fault has brought it about."""

from __future__ import annotations

from celery_inbox.testing import Run
from celery_inbox.testing.violations import Dup, Overlap, Reorder, Violation
from soak.ground import LEASE
from soak.strikes import Strike, Strikes

UNRENEWED = int(1000 * LEASE * 2 / 3) - 300
"""Milliseconds without a renewal after which a lease can have ended: it is renewed every third, and every sixth of it
somebody looks whether that is due."""
CLOCKS = 200
"""Milliseconds between an event and its line in the log of faults, on a busy machine."""


class Causes:
    """The faults of one side, as causes.

    A holder that could not renew may overlap with its successor (promise 3), and what it did not get acknowledged is
    done again (promise 4); so is what a killed process had handled and not acknowledged.

    Args:
        strikes: All faults.
        side: Name of the side.
    """

    def __init__(self, strikes: Strikes, side: str) -> None:
        self._strikes = strikes
        self._side = side

    def of(self, violation: Violation, committed: set[Run]) -> str | None:
        """Name the fault that the contract names; None: this must not be."""
        match violation:
            case Overlap(first=first, second=second):
                return self.could_not_renew(first, second.start.at)
            case Dup(runs=runs):
                return self._of_repetition(runs, committed)
            case Reorder(run=run) if run not in committed:
                return self.could_not_renew(run, run.end.at if run.end else run.start.at)
            case _:
                return None

    def during(self, start: int, end: int) -> list[Strike]:
        """Faults that lasted in an interval, Unix ms."""
        return [
            strike for strike in self._strikes.of(self._side) if strike.at <= end and start <= (strike.until or end)
        ]

    def _of_repetition(self, runs: tuple[Run, ...], committed: set[Run]) -> str | None:
        """Every run but one must have ended unheard, each for a cause of its own."""
        if sum(run in committed for run in runs) > 1:
            return None
        heard = next((run for run in runs if run in committed), runs[-1])
        causes = [self.went_unheard(run, heard) for run in runs if run is not heard]
        return None if None in causes else causes[0]

    def went_unheard(self, run: Run, heard: Run) -> str | None:
        """Why the ack of a run did not count."""
        assert run.end is not None
        for strike in self._strikes.of(self._side):
            at = strike.killed.get(run.start.pid)
            if at is not None and run.end.at - CLOCKS <= at <= heard.start.at + CLOCKS:
                return f"{strike.fault} before the ack"
        return self.could_not_renew(run, heard.start.at)

    def could_not_renew(self, run: Run, until: int) -> str | None:
        """Why a lease could end while its holder lived."""
        away = 0
        for strike in self._strikes.of(self._side):
            lasted = strike.lasted(run.start.at - int(1000 * LEASE), until)
            if run.start.pid in strike.frozen and lasted >= UNRENEWED:
                return strike.fault
            away += lasted if strike.is_away else 0
        return "redis away" if away >= UNRENEWED else None
