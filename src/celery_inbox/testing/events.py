"""What a history is made of: one event per line of its file."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

Kind = Literal["batch", "command"]
Outcome = Literal["ok", "error"]


class Arrival(NamedTuple):
    """What a run knows of one of its messages."""

    id: str
    at: int
    """When Redis accepted it, Unix ms."""
    active: bool
    """False for a message that does not push the debounce back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A send returned."""

    session: str
    kind: Kind
    """``command`` for a message that goes to the command handler."""
    id: str
    status: str
    """``Receipt.status``."""
    at: int
    """When the call had returned, Unix ms by the sender's clock."""

    @property
    def is_stored(self) -> bool:
        """Whether the inbox has promised to handle it: now, or when the same id was sent before."""
        return self.status != "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A handler began."""

    run: str
    """The same in the start and in the end of one run, unique otherwise."""
    pid: int
    session: str
    kind: Kind
    batch: str
    """Id of the batch; the same on every attempt."""
    fence: int
    attempt: int
    """1 on the first try."""
    messages: tuple[Arrival, ...]
    at: int
    """Unix ms by the worker's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Started):
    """A handler returned or raised; ``messages`` has those that joined meanwhile too."""

    outcome: Outcome
    """``ok`` where the batch counts as handled: the handler returned, or raised Celery's ``Ignore``."""
    error: str | None
    """Name of the exception's type; None when the handler returned."""


Event: TypeAlias = Sent | Started | Ended

TYPES: dict[str, type[Sent | Started]] = {"sent": Sent, "started": Started, "ended": Ended}
NAMES = {cls: name for name, cls in TYPES.items()}


def to_line(event: Event) -> bytes:
    """Write an event as one line of JSON, newline included."""
    fields = {"event": NAMES[type(event)], **asdict(event)}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Event:
    """Read an event from its line.

    Raises:
        ValueError: This is no whole line of a history.
    """
    try:
        fields: dict[str, Any] = json.loads(line)
        cls = TYPES[fields.pop("event")]
        if "messages" in fields:
            fields["messages"] = tuple(Arrival(*message) for message in fields["messages"])
        return cls(**fields)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no event of a history: {line!r}") from error
