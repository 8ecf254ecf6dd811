"""What a check can find: one small value per broken promise."""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from celery_inbox.testing.events import Kind
from celery_inbox.testing.runs import Run

Check = Literal["LOST", "DUP", "REORDER", "OVERLAP", "STUCK", "UNEXPECTED"]


@dataclass(frozen=True, slots=True)
class Lost:
    """Accepted, yet nowhere: in no successful run, not dead-lettered, not waiting, not taken away."""

    check: ClassVar[Check] = "LOST"
    session: str
    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind} message {self.id} of {self.session!r} was accepted, never handled and is nowhere"


@dataclass(frozen=True, slots=True)
class Dup:
    """One message in more than one successful run."""

    check: ClassVar[Check] = "DUP"
    session: str
    id: str
    runs: tuple[Run, ...]

    def __str__(self) -> str:
        return f"message {self.id} of {self.session!r} was handled {len(self.runs)} times: {listed(self.runs)}"


@dataclass(frozen=True, slots=True)
class Reorder:
    """A message handled after one that was sent later."""

    check: ClassVar[Check] = "REORDER"
    session: str
    id: str
    after: str
    """Id of the message that was sent later, yet handled before."""
    run: Run

    def __str__(self) -> str:
        return f"message {self.id} of {self.session!r} came after {self.after}, which was sent later: {self.run}"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two runs of one session at the same time."""

    check: ClassVar[Check] = "OVERLAP"
    session: str
    first: Run
    second: Run

    def __str__(self) -> str:
        return f"in {self.session!r} {self.second} began before the end of {self.first}"


@dataclass(frozen=True, slots=True)
class Stuck:
    """Messages wait and nothing starts."""

    check: ClassVar[Check] = "STUCK"
    session: str
    waiting: int
    """Messages that wait."""
    idle: float
    """Seconds in which no run of the session started although it could have."""

    def __str__(self) -> str:
        return f"{self.waiting} messages of {self.session!r} wait, and nothing has started for {self.idle:.1f} s"


@dataclass(frozen=True, slots=True)
class Unexpected:
    """A handler was given what was never sent to it."""

    check: ClassVar[Check] = "UNEXPECTED"
    id: str
    run: Run
    senders: tuple[str, ...]
    """Sessions to which a message of this id was sent; none when the id is unknown."""

    def __str__(self) -> str:
        whose = "was sent to " + ", ".join(map(repr, self.senders)) if self.senders else "was never sent"
        return f"message {self.id} {whose}, yet {self.run} of {self.run.session!r} was given it"


Violation: TypeAlias = Lost | Dup | Reorder | Overlap | Stuck | Unexpected


def listed(runs: tuple[Run, ...]) -> str:
    """Join runs for a sentence."""
    return ", ".join(map(str, runs))
