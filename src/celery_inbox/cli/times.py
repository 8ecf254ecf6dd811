"""Durations, and instants seen from now."""

from __future__ import annotations

import re
from typing import Any

import click

UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d|)")
LONGEST = 3650 * UNITS["d"]
STEPS = ((86_400_000 * 2, 86_400_000, "days"), (7_200_000, 3_600_000, "h"), (120_000, 60_000, "min"))
"""From so many ms on, in units of so many ms, called so."""


class Duration(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Seconds, or a number with a unit; the value is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        said = DURATION.fullmatch(str(value))
        seconds = float(said[1]) * UNITS[said[2]] if said else 0.0
        if not 0 < seconds <= LONGEST:
            self.fail(
                f"{value!r} is no duration above 0 and up to {LONGEST / UNITS['d']:.0f}d: "
                "say seconds, or a number with s, m, h or d, as in 90, 15m, 2h",
                param,
                ctx,
            )
        return seconds


def duration(ms: float) -> str:
    """A length of time for people."""
    for least, unit, name in STEPS:
        if ms >= least:
            return f"{ms / unit:.0f} {name}"
    return f"{ms / 1000:.0f} s" if ms >= 10_000 else f"{ms / 1000:.1f} s"


def away(at: int, now: int) -> str:
    """An instant, seen from now."""
    return f"in {duration(at - now)}" if at > now else f"{duration(now - at)} ago"
