"""A store in memory that writes down every attempt at a batch or command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from celery_inbox.element import COMMAND, CorruptElement, Header, NewerElement, pack
from celery_inbox.message import Message
from celery_inbox.store.keys import Address
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import Cancelled, Claim, Outgoing, Plan, Reclaimed, Sent, Settled, Terms
from celery_inbox.store.partition import Partition

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox

End = Literal["running", "handled", "retry", "dead", "held", "isolated", "cancelled", "lost", "crashed"]


@dataclass(slots=True)
class Attempt:
    """One try of a batch or command."""

    session: str
    id: str
    """Id of the batch; the same on every attempt."""
    is_command: bool
    attempt: int
    """1 on the first try."""
    at: int
    """When the handler was called, Unix ms by the kit's clock."""
    messages: tuple[Message, ...]
    """What the handler had at last, messages that joined by ``take_new`` included."""
    outcome: End = "running"
    """``handled``; ``retry``: failed, will be tried again; ``dead``, ``held``, ``isolated``: failed for the last time;
    ``cancelled``; ``lost``: its lease had ended; ``crashed``: its worker was killed."""
    error: str | None = None
    """Type and text of what the handler raised."""

    @property
    def bodies(self) -> list[Any]:
        """The messages' bodies, in send order."""
        return [message.body for message in self.messages]


@dataclass(frozen=True, slots=True)
class Refused:
    """A send that stored nothing."""

    session: str
    status: str
    """``duplicate``, ``ignored`` or ``full``."""
    at: int
    body: Any


class OrderlyPartition(Partition):
    """What is due at the same instant starts in the order in which it came; in Redis the digests decide."""

    def longest_due(self, now: int, most: int) -> list[str]:
        ripe = [digest for digest, at in self.due.items() if at <= now]
        return sorted(ripe, key=self.due.__getitem__)[:most]


class AttemptStore(MemoryStore):
    """The protocol in plain Python, which notes what it answers."""

    def __init__(self, inbox: BoundInbox, clock: Callable[[], int]) -> None:
        super().__init__(Terms.of(inbox.settings), clock)
        self.attempts: list[Attempt] = []
        self.refused: list[Refused] = []
        self.names: dict[str, None] = {}
        """Every session that was sent to, in that order."""
        self._inbox = inbox
        self._open: dict[tuple[str, int], Attempt] = {}

    def _at(self, name: str, now: int | None = 0) -> tuple[Partition, int]:
        self.partitions.setdefault(name, OrderlyPartition(name, self.terms))
        return super()._at(name, now)

    def decode(self, elements: Sequence[bytes]) -> list[Message]:
        """Read messages; what cannot be read is passed over, as a handler does not see it either."""
        messages = []
        for element in elements:
            try:
                messages.append(self._inbox.codec.decode(element))
            except (CorruptElement, NewerElement):
                continue
        return messages

    def send(self, message: Outgoing, now: int | None = None) -> Sent:
        sent = super().send(message, now)
        session = message.address.session
        self.names[session] = None
        if sent.status != "accepted":
            header = Header(message.kind, message.flags, self.clock(), len(message.payload), message.key, message.id)
            [body] = [each.body for each in self.decode([pack(header, message.payload)])]
            self.refused.append(Refused(session, sent.status, self.clock(), body))
        return sent

    def claim(self, partition: str, token: str, plan: Plan, kick: str = "", now: int | None = None) -> Claim | None:
        return self._begin(super().claim(partition, token, plan, kick, now))

    def _begin(self, claim: Claim | None) -> Claim | None:
        if claim is not None:
            attempt = Attempt(
                claim.address.session,
                claim.batch_id,
                claim.kind == COMMAND,
                claim.attempt,
                claim.claimed_at,
                tuple(self.decode(claim.elements)),
            )
            self.attempts.append(attempt)
            self._open[claim.address.partition, claim.fence] = attempt
        return claim

    def take_new(self, claim: Claim, known: int) -> tuple[bytes, ...] | None:
        new = super().take_new(claim, known)
        attempt = self._open.get((claim.address.partition, claim.fence))
        if attempt is not None and new:
            attempt.messages = (*attempt.messages, *self.decode(new))
        return new

    def _end(self, address: Address, fence: int, outcome: End, error: str | None = None) -> None:
        attempt = self._open.get((address.partition, fence))
        if attempt is not None:
            attempt.outcome, attempt.error = outcome, error

    def ack(self, claim: Claim, token: str = "", plan: Plan | None = None, now: int | None = None) -> Settled:
        settled = super().ack(claim, token, plan, now)
        self._end(claim.address, claim.fence, "lost" if settled.outcome == "lost" else "handled")
        self._begin(settled.next)
        return settled

    def nack(self, claim: Claim, delay: int, reason: str = "", traceback: str = "", now: int | None = None) -> Settled:
        settled = super().nack(claim, delay, reason, traceback, now)
        outcome: End = "handled" if settled.outcome == "done" else settled.outcome
        self._end(claim.address, claim.fence, outcome, reason)
        return settled

    def cancel(self, address: Address, fence: int = 0, now: int | None = None) -> Cancelled:
        outcome = super().cancel(address, fence, now)
        if fence:
            self._end(address, fence, "lost" if outcome == "lost" else "cancelled")
        return outcome

    def reclaim(self, partition: str, outage: bool = False, now: int | None = None) -> list[Reclaimed]:
        ended = super().reclaim(partition, outage, now)
        for each in ended:
            self._end(each.address, each.fence, "crashed")
        return ended
