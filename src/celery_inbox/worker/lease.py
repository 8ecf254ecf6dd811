"""Keep claims alive: one thread of the process that runs the handlers renews them."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from celery_inbox.errors import StorageUnavailable
from celery_inbox.observe import signals
from celery_inbox.store.moves import Claim, Store

TICKS_PER_LEASE = 6
LONGEST_TICK = 0.5
RENEWALS_PER_LEASE = 3


class Lease:
    """One claim that runs."""

    def __init__(self, claim: Claim, store: Store, sender: Any, max_run: float) -> None:
        self.claim = claim
        self.lost = False
        self._store = store
        self._sender = sender
        self._every = store.terms.lease / 1000 / RENEWALS_PER_LEASE
        self._renew_at = time.monotonic() + self._every
        self._until = time.monotonic() + max_run

    def tick(self, now: float) -> None:
        """Renew when a third of the lease has passed, until ``max_run`` is over."""
        if not self.lost and self._renew_at <= now < self._until:
            try:
                self.renew()
            except StorageUnavailable:
                # Tried again at the next tick; only Redis knows whether the lease is lost.
                return

    def renew(self) -> None:
        """Extend the lease, or learn that it is lost.

        Raises:
            StorageUnavailable: Redis did not answer; the lease runs on as it was.
        """
        if self._store.renew(self.claim):
            self._renew_at = time.monotonic() + self._every
        elif not self.lost:
            self.lose()

    def lose(self) -> None:
        """Remember that another worker may have the batch."""
        self.lost = True
        signals.lost.send(sender=self._sender, claim=self.claim)


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


def keep(lease: Lease) -> None:
    """Renew a lease in this process's thread."""
    keeper.hold(lease)


def let_go(lease: Lease) -> None:
    """End what keep began."""
    keeper.drop(lease)
