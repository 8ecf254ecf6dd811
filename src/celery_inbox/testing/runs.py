"""A handler's run from start to end, put together from its two events."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from celery_inbox.testing.events import Arrival, Ended, Event, Kind, Started


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a handler."""

    start: Started
    end: Ended | None
    """None for a run that goes on or whose process was killed."""
    began: int
    """Place of its start in the history."""
    ended: int | None
    """Place of its end in the history."""

    @property
    def session(self) -> str:
        """Name of the session."""
        return self.start.session

    @property
    def kind(self) -> Kind:
        """Which handler was called."""
        return self.start.kind

    @property
    def messages(self) -> tuple[Arrival, ...]:
        """What the handler had at last, messages that joined the run included."""
        return (self.end or self.start).messages

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the messages."""
        return tuple(message.id for message in self.messages)

    @property
    def is_successful(self) -> bool:
        """Whether the messages count as handled."""
        return self.end is not None and self.end.outcome == "ok"

    def overlaps(self, later: Self) -> bool:
        """Whether a run that began later began before this one had ended.

        The killed run's last moment is unknown: nothing overlaps with it after its start.
        """
        return self.ended is not None and self.began < later.began < self.ended

    def __str__(self) -> str:
        """Name the run for a report."""
        start = self.start
        return f"{start.kind} {start.batch} (attempt {start.attempt}, fence {start.fence}, pid {start.pid})"


def runs(events: Iterable[Event]) -> list[Run]:
    """Put the runs of a history together, in the order in which they began.

    Args:
        events: In the order of the record.
    """
    starts: dict[str, tuple[int, Started]] = {}
    ends: dict[str, tuple[int, Ended]] = {}
    for place, event in enumerate(events):
        if isinstance(event, Ended):
            ends[event.run] = place, event
            starts.setdefault(event.run, (place, event))  # its start was torn
        elif isinstance(event, Started):
            starts[event.run] = place, event
    found = []
    for name, (began, start) in starts.items():
        ended, end = ends.get(name, (None, None))
        found.append(Run(start, end, began, ended))
    return found
