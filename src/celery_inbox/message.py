"""What senders and handlers hold in their hands: receipts, messages, batches and commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from celery_inbox.errors import LeaseLost

if TYPE_CHECKING:
    from celery_inbox.worker.lease import Lease

Status = Literal["accepted", "duplicate", "ignored", "command"]


class Receipt(NamedTuple):
    """What became of a send."""

    id: str
    """Id of the message: the caller's, or a generated one."""
    status: Status
    """``accepted``: stored. ``duplicate``: this id was stored before, nothing changed. ``ignored``: outside the active
    window, not stored. ``command``: stored as a command."""
    waiting: int
    """Messages that wait in the session after this call, the open batch not counted."""
    due_at: int | None
    """When the session's next batch may start, Unix ms; None while a batch runs or the session is stopped."""
    dropped: tuple[str, ...] = ()
    """Ids that made room for this message under ``overflow="drop_oldest"``, oldest first."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was sent."""

    id: str
    """Unique within its session for ``dedup_ttl``."""
    body: Any
    """What was sent, after one round through the inbox's serializer."""
    at: int
    """When Redis accepted it, Unix ms by Redis's clock."""
    active: bool = True
    """False for a message that does not push the debounce back."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """The headers given to ``send``."""


class Work:
    """One claimed run: what a batch and a command have in common."""

    def __init__(self, session: str, id: str, attempt: int, fence: int, lease: Lease | None = None) -> None:
        self.session = session
        """The session's name."""
        self.id = id
        """Identifies the batch; the same on every attempt."""
        self.attempt = attempt
        """1 on the first try."""
        self.fence = fence
        """Grows with every claim of the partition: a store that keeps the highest one can refuse a stale writer."""
        self._lease = lease

    @property
    def lost(self) -> bool:
        """True once the lease was found to have ended: another worker may handle these messages."""
        return self._lease is not None and self._lease.lost

    @property
    def cancelled(self) -> bool:
        """True once somebody cancelled this batch; whatever is raised then settles it as ``on_cancel`` says."""
        return self._lease is not None and self._lease.cancelled

    def renew(self) -> None:
        """Extend the lease now, e.g. before a step that holds the GIL for long.

        Raises:
            LeaseLost: Another worker may have taken the batch; what this run acknowledges changes nothing.
        """
        if self._lease is not None:
            self._lease.renew()
        self.raise_if_lost()

    def when_cancelled(self, call: Callable[[], object]) -> None:
        """Have a callable called, in another thread, once this batch is cancelled."""
        if self._lease is not None:
            self._lease.when_cancelled(call)

    def raise_if_lost(self) -> None:
        """Stop here if the lease has ended.

        Raises:
            LeaseLost: Another worker may have taken the batch.
        """
        if self.lost:
            raise LeaseLost(
                f"the lease of batch {self.id} (fence {self.fence}) has ended; another worker may handle it"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} attempt={self.attempt} fence={self.fence}>"


class Batch(Work, Sequence[Message]):
    """The run of oldest messages that a handler gets at once, in send order."""

    def __init__(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        id: str = "batch",
        attempt: int = 1,
        fence: int = 1,
        lease: Lease | None = None,
    ) -> None:
        super().__init__(session, id, attempt, fence, lease)
        self._messages = tuple(messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def take_new(self) -> tuple[Message, ...]:
        """Let what arrived meanwhile join this batch: it is acknowledged, or retried, with it.

        At most ``max_batch`` messages a call, ten times that a batch, and only up to a command or another batch key.

        Returns:
            The messages that joined, in send order; empty when nothing came. What is not taken is the next batch.

        Raises:
            LeaseLost: The lease has ended; nothing joined.
        """
        if self._lease is None:
            return ()
        new = tuple(self._lease.take_new(len(self._messages)))
        self.raise_if_lost()
        self._messages += new
        return new

    async def atake_new(self) -> tuple[Message, ...]:
        """As ``take_new``, without blocking the event loop."""
        return await asyncio.to_thread(self.take_new)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)


class Command(Work):
    """One command, handled alone."""

    def __init__(
        self,
        session: str,
        message: Message,
        *,
        id: str = "command",
        attempt: int = 1,
        fence: int = 1,
        lease: Lease | None = None,
    ) -> None:
        super().__init__(session, message.id, attempt, fence, lease)
        self.batch_id = id
        """Id of the one-message batch that carries the command."""
        self.message = message
        """The command as it was sent."""

    @property
    def body(self) -> Any:
        """What was sent."""
        return self.message.body

    @property
    def at(self) -> int:
        """When Redis accepted it, Unix ms."""
        return self.message.at

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers given to ``send_command``."""
        return self.message.headers


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as ``peek`` found it."""

    session: str
    due_at: int | None
    """When its next batch may start, Unix ms; None while a batch runs."""
    lease_end: int | None
    """When the running batch's lease ends unless renewed, Unix ms; None while none runs."""
    stopped: bool
    """Paused or held."""
    stopped_until: int | None
    """When the pause ends by itself, Unix ms; None for one that does not."""
    waiting: int
    """Messages that wait, however many were read."""
    messages: tuple[Message, ...]
    """The waiting messages that were read, oldest first."""
    batch_id: str | None
    """Id of the open batch: running, or waiting for its next attempt."""
    attempt: int
    """Attempts of the open batch so far."""
    batch: tuple[Message, ...]
    """Messages of the open batch."""
    unreadable: int
    """Elements among those read that are left out, for they cannot be decoded; a worker sets them aside."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as ``sessions`` lists it."""

    session: str
    partition: str
    """Its number, or ``command``."""
    state: Literal["due", "running", "stopped"]
    """``due`` also when its time is still to come."""
    at: int | None
    """When it is due, when its lease ends, or when its stop ends; Unix ms, None for a stop without end."""
    waiting: int
    """Messages that wait."""
    open: int
    """Messages of the open batch."""
    attempt: int
    """Attempts of the open batch so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters since the inbox began, and depths as they are.

    ``accepted`` = ``handled`` + ``dead`` + ``dropped`` + ``removed`` + ``cancelled`` + ``quarantined`` + ``pending``.
    """

    accepted: int
    """Messages and commands stored."""
    handled: int
    """Messages of batches that were acknowledged."""
    dead: int
    """Messages set aside as dead letters and not redriven, purged ones included."""
    dropped: int
    """Messages taken out by ``drop``, or discarded for newer ones under ``overflow="drop_oldest"``."""
    removed: int
    """Messages taken out by ``remove`` or ``forget``."""
    cancelled: int
    """Messages of cancelled batches, with ``on_cancel="ack"``."""
    quarantined: int
    """Elements that could not be read."""
    pending: int
    """Messages that wait or are in an open batch."""
    due: int
    """Sessions that wait for their due time or are due."""
    running: int
    """Sessions whose batch runs."""
    stopped: int
    """Sessions that are paused or held."""
    kicks: int
    """Kicks on their way."""
    dead_letters: int
    """Batches among the dead letters."""
    ids_evicted: int
    """Ids forgotten before their time, because a session passed ``max_ids``."""
    dead_evicted: int
    """Messages of dead letters that were removed, because the inbox passed ``max_dead``."""
    corrupt_evicted: int
    """Quarantined elements that were removed, because a partition keeps the latest 1,000."""
    newer: int
    """Times that an element of a later version was met and left in place."""
    oldest_due_at: int | None
    """Due time of the session that is due first, Unix ms."""
    lateness: Mapping[str, int]
    """Batches by claim minus due time: upper bound in ms to count, ``more`` for the rest; retries not counted."""
    batch_size: Mapping[str, int]
    """Batches by their messages: upper bound to count, ``more`` for the rest; retries not counted."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A batch that was set aside after its last attempt."""

    id: str
    """Id of the batch."""
    session: str
    at: int
    """When it was set aside, Unix ms."""
    attempts: int
    reason: str
    """The exception's type and text; ``crashed`` when the worker died or hung."""
    traceback: str
    messages: tuple[Message, ...]
    """In send order."""
    is_command: bool = False
