"""Keep claims alive: one thread of the process that runs the handlers renews them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

from celery_inbox.element import CorruptElement, NewerElement, is_canary
from celery_inbox.errors import StorageUnavailable
from celery_inbox.message import Message
from celery_inbox.observe import signals
from celery_inbox.store.moves import Claim
from celery_inbox.worker.patience import until_answered
from celery_inbox.worker.proof import prove

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox

T = TypeVar("T")

TICKS_PER_LEASE = 6
LONGEST_TICK = 0.5
RENEWALS_PER_LEASE = 3


class Lease:
    """One claim that runs."""

    def __init__(self, claim: Claim, inbox: BoundInbox, max_run: float) -> None:
        self.claim = claim
        self.lost = False
        self.cancelled = False
        self._settling = False
        self._when_cancelled: Callable[[], object] | None = None
        self._inbox = inbox
        self._store = inbox.store
        self._every = self._store.terms.lease / 1000 / RENEWALS_PER_LEASE
        self._renew_at = time.monotonic() + self._every
        self._until = time.monotonic() + max_run

    def tick(self, now: float) -> None:
        """Renew when a third of the lease has passed, until ``max_run`` is over; else ask whether it is still ours."""
        if self.lost:
            return
        try:
            if now < self._until:
                prove(self._inbox)
            if self._renew_at <= now < self._until:
                self.renew()
            if not self.cancelled:
                self._ask()
        except StorageUnavailable:
            # Tried again at the next tick; only Redis knows whether the lease is lost.
            return

    def _ask(self) -> None:
        standing = self._store.standing(self.claim)
        if standing == "lost":
            self._find_lost()
        elif standing == "cancelled":
            self.cancelled = True
            if self._when_cancelled is not None:
                self._when_cancelled()

    def when_cancelled(self, call: Callable[[], object]) -> None:
        """Have a callable called once the claim is cancelled."""
        self._when_cancelled = call
        if self.cancelled:
            call()

    def take_new(self, known: int) -> list[Message]:
        """Let what arrived meanwhile join the running batch.

        Raises:
            StorageUnavailable: Redis did not answer; what joined comes with the next call.
        """
        elements = self._store.take_new(self.claim, known)
        if elements is None:
            self.lose()
            return []
        messages = decode(self._inbox, self.claim, elements)
        signals.took_new.send(sender=self._inbox, claim=self.claim, messages=len(messages))
        return messages

    def renew(self) -> None:
        """Extend the lease, or learn that it is lost.

        Raises:
            StorageUnavailable: Redis did not answer; the lease runs on as it was.
        """
        if self._store.renew(self.claim):
            self._renew_at = time.monotonic() + self._every
            signals.renewed.send(sender=self._inbox, claim=self.claim)
        else:
            self._find_lost()

    def settle(self, call: Callable[[], T]) -> T:
        """End the claim by a call that is repeated until Redis answers; its reply tells whether the lease was lost."""
        self._settling = True
        return until_answered(call)

    def _find_lost(self) -> None:
        # A settlement under way may have been carried out already: what it ended is not lost.
        if not self._settling:
            self.lose()

    def lose(self) -> None:
        """Remember that another worker may have the batch; told once."""
        if not self.lost:
            self.lost = True
            signals.lost.send(sender=self._inbox, claim=self.claim)


def decode(inbox: BoundInbox, claim: Claim, elements: Iterable[bytes]) -> list[Message]:
    """Read elements of a claim for its handler; what cannot be read is quarantined, a canary is for no handler."""
    messages: list[Message] = []
    for element in elements:
        if is_canary(element):
            continue
        try:
            messages.append(inbox.codec.decode(element))
        except (CorruptElement, NewerElement):
            inbox.store.quarantine(claim, element)
            signals.quarantined.send(sender=inbox, address=claim.address, size=len(element))
    return messages


class LeaseKeeper:
    """The thread that renews the leases of this process."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._held = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def hold(self, lease: Lease) -> None:
        """Renew a lease from now on."""
        self._leases[id(lease)] = lease
        if not self._held.is_set():
            self._held.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="inbox-leases", daemon=True)
                    self._thread.start()

    def drop(self, lease: Lease) -> None:
        """Renew a lease no longer: its run has ended."""
        self._leases.pop(id(lease), None)

    def _run(self) -> None:
        while True:
            leases = list(self._leases.values())
            if not leases:
                self._held.clear()
                if not self._leases:
                    self._held.wait()
                continue
            now = time.monotonic()
            for lease in leases:
                if id(lease) in self._leases:
                    lease.tick(now)
            time.sleep(min(LONGEST_TICK, *(lease._every * RENEWALS_PER_LEASE / TICKS_PER_LEASE for lease in leases)))


keeper = LeaseKeeper()


def _start_anew() -> None:
    """A forked pool process has no thread of its parent's, and no claim either."""
    global keeper
    keeper = LeaseKeeper()


os.register_at_fork(after_in_child=_start_anew)


class Keeper(Protocol):
    """Looks after the leases of what runs: this module, or what serves an inbox in this process."""

    def keep(self, lease: Lease, /) -> None: ...
    def let_go(self, lease: Lease, /) -> None: ...


def keep(lease: Lease) -> None:
    """Renew a lease in this process's thread."""
    keeper.hold(lease)


def let_go(lease: Lease) -> None:
    """End what keep began."""
    keeper.drop(lease)
