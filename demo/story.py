"""What has happened so far, told from the history."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from celery_inbox.testing import Ended, Event, History, Sent, Started
from celery_inbox.testing.events import Arrival, Kind

REMEMBERED = 40  # runs that somebody who watches can see


@dataclass(frozen=True, slots=True)
class Figures:
    """A story in numbers. Times are milliseconds; None where there was nothing to measure."""

    sessions: int
    messages: int
    """Messages in, commands not counted."""
    batches: int
    """Successful runs of the batch handler."""
    mean_batch: float | None
    """Messages per batch."""
    largest_batch: int
    lateness_p50: int | None
    """From the moment a batch was due to its handler's start."""
    lateness_p99: int | None
    commands: int
    """Successful runs of the command handler."""
    latency_p50: int | None
    """From the moment Redis accepted a command to its handler's start."""
    latency_p99: int | None


class Story:
    """Reads a history while it is written.

    Args:
        history: Whose.
        debounce: As in the inbox's settings, seconds.
        max_wait: As in the inbox's settings, seconds.
    """

    def __init__(self, history: History, debounce: float, max_wait: float) -> None:
        self.history = history
        self.debounce = debounce
        self.max_wait = max_wait
        self.recent: deque[tuple[Started, int]] = deque(maxlen=REMEMBERED)
        """The last runs that began, each with its lateness or latency in ms; the newest is the last."""
        self._end = 0
        self._sent: dict[Kind, set[tuple[str, str]]] = {"batch": set(), "command": set()}
        self._handled: set[tuple[str, str]] = set()
        self._delays: dict[Kind, list[int]] = {"batch": [], "command": []}
        self._sizes: list[int] = []
        self._commands = 0
        self._ended_at: dict[str, int] = {}

    def read_on(self) -> None:
        """Take in what was written since the last time."""
        record = self.history.read(self._end)
        self._end = record.end
        self.follow(record.events)

    def follow(self, events: Iterable[Event]) -> None:
        """Take in events."""
        for event in events:
            match event:
                case Ended():
                    self._ended(event)
                case Started():
                    self._started(event)
                case Sent():
                    self._sent[event.kind].add((event.session, event.id))

    @property
    def unhandled(self) -> set[tuple[str, str]]:
        """Sessions and ids of what was sent and is in no successful run yet."""
        return (self._sent["batch"] | self._sent["command"]) - self._handled

    @property
    def figures(self) -> Figures:
        """The numbers so far."""
        messages = self._sent["batch"]
        return Figures(
            sessions=len({session for session, _ in messages | self._sent["command"]}),
            messages=len(messages),
            batches=len(self._sizes),
            mean_batch=sum(self._sizes) / len(self._sizes) if self._sizes else None,
            largest_batch=max(self._sizes, default=0),
            lateness_p50=percentile(self._delays["batch"], 50),
            lateness_p99=percentile(self._delays["batch"], 99),
            commands=self._commands,
            latency_p50=percentile(self._delays["command"], 50),
            latency_p99=percentile(self._delays["command"], 99),
        )

    def _started(self, event: Started) -> None:
        if event.attempt > 1:
            return  # when a retry is due is not in the history
        since = event.messages[0].at
        if event.kind == "batch":
            lull = lull_at(event.messages, int(self.debounce * 1000), int(self.max_wait * 1000))
            since = max(lull, self._ended_at.get(event.session, 0))
        self._delays[event.kind].append(event.at - since)
        self.recent.append((event, event.at - since))

    def _ended(self, event: Ended) -> None:
        if event.kind == "batch":
            self._ended_at[event.session] = event.at
        if event.outcome != "ok":
            return
        self._handled.update((event.session, message.id) for message in event.messages)
        if event.kind == "batch":
            self._sizes.append(len(event.messages))
        else:
            self._commands += 1


def lull_at(messages: Sequence[Arrival], debounce: int, max_wait: int) -> int:
    """Return when the batch of these messages was due, as if nothing had been running, Unix ms.

    Messages that arrived after that, while no worker was free, are in the batch too and do not move it.

    Args:
        messages: The batch, in send order.
        debounce: Milliseconds.
        max_wait: Milliseconds.

    See:
        design.md, section 4: the due function.
    """
    deadline = messages[0].at + max_wait
    active = [message.at for message in messages if message.active]
    for arrived, following in pairwise([*active, deadline + debounce]):
        if arrived + debounce <= following:
            return min(arrived + debounce, deadline)
    return deadline


def percentile(values: Sequence[int], percent: float) -> int | None:
    """Return the smallest value that is not exceeded by so many percent of the values."""
    if not values:
        return None
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
