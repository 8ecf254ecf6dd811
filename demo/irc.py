"""Read the log of an IRC channel: who wrote what in which minute."""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

SPOKEN = re.compile(
    r"\[([01]\d|2[0-3]):([0-5]\d)\] (?:<(?P<nick>\S{1,100})> ?(?P<text>.*)| \* (?P<actor>\S{1,100}) (?P<act>.*))"
)
NOTICE = "==="  # joins, leaves and renames
DAY = 24 * 60  # minutes


@dataclass(frozen=True, slots=True)
class Line:
    """One line that somebody wrote."""

    clock: str
    """``hh:mm`` as in the log."""
    nick: str
    text: str
    """Without the nick; what somebody does (``* nick smiles``) reads as it was typed: ``/me smiles``."""
    second: float
    """Seconds since the log's first minute began; the lines of one minute are spread evenly over it."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a file holds."""

    path: Path
    lines: tuple[Line, ...]
    """In the order of the file."""
    bad: int
    """Lines that are neither spoken nor a notice; they are left out."""

    def until(self, second: float) -> tuple[Line, ...]:
        """Return the lines before a moment of the log."""
        return tuple(line for line in self.lines if line.second < second)


def read_log(path: Path) -> Log:
    """Read a log of lines ``[hh:mm] <nick> text``.

    Args:
        path: UTF-8 text; bytes that are not are replaced.

    Raises:
        OSError: The file cannot be read.
    """
    spoken: list[tuple[int, re.Match[str]]] = []
    bad = minute = 0
    for raw in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        if match := SPOKEN.fullmatch(raw.rstrip("\r")):
            minute = (
                minute_after(minute, int(match[1]) * 60 + int(match[2]))
                if spoken
                else int(match[1]) * 60 + int(match[2])
            )
            spoken.append((minute, match))
        elif raw.strip() and not raw.startswith(NOTICE):
            bad += 1
    return Log(path, tuple(spread(spoken)), bad)


def minute_after(previous: int, minute: int) -> int:
    """Place a minute of the day after the one before it, over midnight if need be.

    A line that goes back by less than half a day was logged late: it counts as written in the minute before it.
    """
    minute += previous - previous % DAY
    if minute < previous - DAY // 2:
        minute += DAY
    return max(minute, previous)


def spread(spoken: list[tuple[int, re.Match[str]]]) -> list[Line]:
    """Give each line of a minute its share of it."""
    lines: list[Line] = []
    for minute, group in groupby(spoken, key=lambda pair: pair[0]):
        matches = [match for _, match in group]
        begin = (minute - spoken[0][0]) * 60
        lines += [line(match, begin + 60 * place / len(matches)) for place, match in enumerate(matches)]
    return lines


def line(match: re.Match[str], second: float) -> Line:
    """Make a line of what was matched."""
    clock = f"{match[1]}:{match[2]}"
    if match["nick"]:
        return Line(clock, match["nick"], match["text"], second)
    return Line(clock, match["actor"], f"/me {match['act']}", second)
