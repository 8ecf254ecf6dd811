"""A file in which senders and handlers, in any number of processes, write down what they did."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from celery.exceptions import Ignore

from celery_inbox.message import Batch, Command, Message, Receipt
from celery_inbox.testing.events import Arrival, Ended, Event, Kind, Outcome, Sent, Started, from_line, to_line

LINE_START = b'{"event":'
"""How every line begins; inside a line the quotes of a session's name are escaped, so it stands nowhere else."""


@dataclass(frozen=True, slots=True)
class Record:
    """What stood in a history when it was read."""

    events: tuple[Event, ...]
    """In the order in which they were written."""
    torn: int
    """Lines that a killed process did not finish."""
    end: int
    """Bytes up to the last whole line: where to go on reading."""


class History:
    """A history in a file; each event is one line, appended by one write.

    The order of the lines is the order of what happened: a worker writes the end of a run before the inbox hears of it,
    the next run of the session writes its start after that. No two clocks are compared.

    Args:
        path: The file; made with its first event. ``os.devnull`` records nothing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def sent(self, session: str, receipt: Receipt, *, kind: Kind | None = None) -> None:
        """Record that a send returned.

        Args:
            session: As it was given to ``send``.
            receipt: What ``send`` returned.
            kind: What was sent; None reads it from the receipt's status, which cannot tell for a duplicate command.
        """
        kind = kind or ("command" if receipt.status == "command" else "batch")
        self._append(Sent(session=session, kind=kind, id=receipt.id, status=receipt.status, at=now_ms()))

    @contextmanager
    def run(self, work: Batch | Command) -> Iterator[None]:
        """Record the start and the end of a run; wrap a handler's whole body in it, ``async`` or not.

        Args:
            work: What the handler was given.
        """
        run = secrets.token_hex(8)
        self._append(started(work, run))
        outcome: Outcome = "error"
        name = None
        try:
            yield
            outcome = "ok"
        except BaseException as error:
            name = type(error).__qualname__
            outcome = "ok" if isinstance(error, Ignore) else "error"
            raise
        finally:
            self._append(ended(started(work, run), outcome, name))

    def read(self, start: int = 0) -> Record:
        """Read what was recorded.

        Args:
            start: Bytes to pass over: ``Record.end`` of an earlier read.

        Returns:
            The events since. A line without its end counts as torn, though its writer may be alive: only after the
            workers' end does the number tell about them.
        """
        if not self.path.exists():
            return Record((), 0, start)
        with self.path.open("rb") as file:
            file.seek(start)
            whole, newline, rest = file.read().rpartition(b"\n")
        events: list[Event] = []
        torn = int(bool(rest))
        for line in whole.splitlines():
            # What a killed process began stands in front of the next process's line.
            half, _, last = line.rpartition(LINE_START)
            torn += bool(half)
            try:
                events.append(from_line(LINE_START + last))
            except ValueError:
                torn += 1
        return Record(tuple(events), torn, start + len(whole) + len(newline))

    def _append(self, event: Event) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, to_line(event))
        finally:
            os.close(file)


def started(work: Batch | Command, run: str) -> Started:
    """Describe a run as it is now."""
    messages = [work.message] if isinstance(work, Command) else work
    return Started(
        run=run,
        pid=os.getpid(),
        session=work.session,
        kind="command" if isinstance(work, Command) else "batch",
        batch=work.batch_id if isinstance(work, Command) else work.id,
        fence=work.fence,
        attempt=work.attempt,
        messages=tuple(arrival(message) for message in messages),
        at=now_ms(),
    )


def ended(now: Started, outcome: Outcome, error: str | None) -> Ended:
    """Add to a description how the run ended."""
    return Ended(**{name: getattr(now, name) for name in now.__slots__}, outcome=outcome, error=error)


def arrival(message: Message) -> Arrival:
    """Take from a message what a history keeps: no body, no headers."""
    return Arrival(message.id, message.at, message.active)


def now_ms() -> int:
    """Read the clock, Unix ms."""
    return time.time_ns() // 1_000_000
