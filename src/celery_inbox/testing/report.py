"""What the six checks found, for people and for assertions."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from celery_inbox.testing.violations import Check, Violation

CHECKS: tuple[Check, ...] = get_args(Check)
MAX_LISTED = 20
"""Violations of one check that are spelled out."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of ``check``."""

    violations: tuple[Violation, ...]

    def of(self, check: Check) -> tuple[Violation, ...]:
        """Return what one check found."""
        return tuple(found for found in self.violations if found.check == check)

    @property
    def is_clean(self) -> bool:
        """Whether all six are empty."""
        return not self.violations

    def assert_clean(self, *, allow: Collection[Check] = ()) -> None:
        """Do nothing if the checks are empty.

        Args:
            allow: Checks that may have found something, e.g. ``{"DUP"}`` where a worker was killed: at least once.

        Raises:
            AssertionError: Another check has found something. It says what every check found.
        """
        if any(found.check not in allow for found in self.violations):
            raise AssertionError(f"the history is not clean\n{self}")

    def __str__(self) -> str:
        """One line per check, then one per violation beneath it."""
        return "\n".join(line for check in CHECKS for line in self._lines(check))

    def _lines(self, check: Check) -> list[str]:
        found = self.of(check)
        lines = [f"{check:<11}{len(found) or 'none'}"]
        lines += [f"  {violation}" for violation in found[:MAX_LISTED]]
        if len(found) > MAX_LISTED:
            lines.append(f"  ... {len(found) - MAX_LISTED} more")
        return lines
