"""Follow a history while it grows."""

import json
from pathlib import Path
from typing import Any

from celery_inbox.testing import Ended, Event, History, Report, Run, check, runs


class Follower:
    """Reads on where it stopped, so that asking often is cheap."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._end = 0
        self._events: list[Event] = []
        self._handled: set[tuple[str, str]] = set()

    def events(self) -> list[Event]:
        """Everything recorded until now."""
        record = self._history.read(self._end)
        self._end = record.end
        self._events.extend(record.events)
        for event in record.events:
            if isinstance(event, Ended) and event.outcome == "ok":
                self._handled.update((event.session, message.id) for message in event.messages)
        return self._events

    def runs(self, session: str | None = None) -> list[Run]:
        """Runs that began, of one session or of all, in the order of their start."""
        return [run for run in runs(self.events()) if session in (None, run.session)]

    def started(self, session: str | None = None) -> int:
        """How many runs began."""
        return len(self.runs(session))

    def finished(self, session: str | None = None) -> int:
        """How many runs ended."""
        return sum(run.end is not None for run in self.runs(session))

    def handled(self) -> int:
        """How many messages and commands are in successful runs; each counted once."""
        self.events()
        return len(self._handled)

    def report(self) -> Report:
        """Judge what was recorded; nothing may be left waiting."""
        return check(self.events())


def notes(path: Path) -> list[dict[str, Any]]:
    """Read what a bot noted."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
