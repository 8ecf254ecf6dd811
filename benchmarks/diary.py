"""A file to which handlers add a line each time they start, and which the measurement reads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple


class Start(NamedTuple):
    """A handler has started."""

    kind: str
    """Which handler."""
    session: str
    due: float
    """When it was to start, Unix seconds."""
    at: float
    """When it did, Unix seconds."""


class Diary:
    """The writing side: unbuffered and appended, so that lines of many processes do not mix."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def add(self, kind: str, session: str, due: float) -> None:
        """Note that a handler starts now."""
        self._file.write(f"{kind} {session} {due:.6f} {time.time():.6f}\n".encode())


def read(path: Path) -> list[Start]:
    """All starts so far, in the order in which they were noted; a line that is being written is none."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [Start(kind, session, float(due), float(at)) for kind, session, due, at in map(str.split, lines)]
