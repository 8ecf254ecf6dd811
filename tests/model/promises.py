"""What a session should be after each move, told from the promises and not from the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from celery_inbox.element import COMMAND, Kind
from celery_inbox.store.keys import Address
from celery_inbox.store.moves import NEVER, Claim
from model.case import Case, Said


class Broken(AssertionError):
    """A promise is broken."""


def require(true: object, what: str, *seen: object) -> None:
    """Raise Broken unless it is true."""
    if not true:
        raise Broken(": ".join([what, *(repr(each) for each in seen)]))


@dataclass
class Expected:
    """A session as it should be."""

    address: Address
    case: Case
    left: list[str] = field(default_factory=list)
    """Ids that were accepted and are not settled, in the order of acceptance; the open batch is in front."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    last_at: int = 0
    deadline_at: int = 0
    due: int | None = None
    stopped: bool = False
    paused_until: int = 0
    held: bool = False
    size: int = 0
    """Messages of the open batch; 0 when none is open."""
    batch_id: str = ""
    attempt: int = 0
    retry_at: int = 0
    claim: Claim | None = None
    """Of who holds the batch."""
    token: str = ""
    worker: str = ""
    lease_end: int = 0
    cancelled: bool = False

    @property
    def waiting(self) -> list[str]:
        """Ids that are in no batch."""
        return self.left[self.size :]

    def is_stopped(self, now: int) -> bool:
        """Was it paused, or did it stop by itself?"""
        return self.held or self.paused_until > now

    def next_size(self) -> int:
        """Messages that the next batch has: a command is alone, and no batch reaches across one."""
        commands = [self.kinds[id] == COMMAND for id in self.waiting[: self.case.max_batch + 1]]
        if commands[0]:
            return 1
        return min(commands.index(True) if True in commands else len(commands), self.case.max_batch)

    def may_start_at(self, now: int) -> int:
        """When the next batch is due, by the words of section 4."""
        if self.size:
            return self.retry_at
        waiting = self.waiting
        if len(waiting) >= self.case.max_batch or any(self.kinds[id] == COMMAND for id in waiting):
            return now
        return min(self.last_at + self.case.debounce, self.deadline_at)

    def arm(self, now: int) -> None:
        """It is held by nobody: it is stopped, due at some time, or gone."""
        if not self.left:
            self.due, self.stopped, self.held = None, False, False
        elif self.is_stopped(now):
            self.due, self.stopped = None, True
        else:
            self.stopped = False
            if self.due is None or self.due > now:
                self.due = self.may_start_at(now)

    def accept(self, said: Said, now: int) -> None:
        """A message came."""
        if not self.waiting:
            self.deadline_at = now + self.case.max_wait
        self.left.append(said.id)
        self.kinds[said.id], self.arrived[said.id], self.last_at = said.kind, now, now
        if not self.size and not self.stopped:
            self.arm(now)

    def take(self, claim: Claim, token: str, worker: str, lease_end: int) -> None:
        """Somebody holds the batch."""
        if not self.size:
            self.size, self.batch_id, self.attempt = len(claim.elements), claim.batch_id, 0
            if self.waiting:
                self.deadline_at = self.arrived[self.waiting[0]] + self.case.max_wait
        self.attempt += 1
        self.claim, self.token, self.worker, self.lease_end = claim, token, worker, lease_end
        self.due, self.cancelled = None, False

    def let_go(self) -> None:
        """Nobody holds the batch any more."""
        self.claim, self.token, self.worker, self.cancelled = None, "", "", False

    def back_off(self, retry_at: int, now: int) -> None:
        """The batch will be tried again."""
        self.let_go()
        self.retry_at = retry_at
        self.arm(now)

    def end(self, now: int) -> int:
        """The batch is over; how many messages it had is the reply."""
        ended = self.size
        del self.left[:ended]
        self.let_go()
        self.size, self.batch_id, self.attempt, self.held = 0, "", 0, False
        self.arm(now)
        return ended

    def rejoin(self, now: int) -> None:
        """The messages of the batch wait again as if they had just come."""
        self.let_go()
        self.size, self.batch_id, self.attempt, self.held = 0, "", 0, False
        self.last_at, self.deadline_at = now, now + self.case.max_wait
        self.arm(now)

    def pause(self, until: int, now: int) -> None:
        """Somebody stops it."""
        self.paused_until = until or NEVER
        if self.left and not self.claim:
            self.arm(now)

    def resume(self, now: int) -> None:
        """Somebody lets it go on."""
        self.paused_until = 0
        if self.held:
            self.held, self.attempt, self.retry_at = False, 0, now
        if self.left and not self.claim:
            self.arm(now)

    def drop(self, now: int) -> int:
        """What waits is taken out, and an open batch that nobody runs; how many is the reply."""
        kept = self.size if self.claim else 0
        dropped = len(self.left) - kept
        del self.left[kept:]
        if not self.claim:
            self.size = 0
            self.end(now)
        return dropped
