"""An inbox that a kit has taken over: its store, its handlers, what happens to it by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from celery_inbox.eager import Due, InProcess
from celery_inbox.store.moves import NEVER
from celery_inbox.testing.attempts import AttemptStore
from celery_inbox.worker.dispatcher import reclaim

if TYPE_CHECKING:
    from celery_inbox.inbox import Inbox


class Served(InProcess):
    """Handles what is due when the clock says so, through the same code as a worker."""

    inbox: Inbox
    store: AttemptStore

    def __init__(self, inbox: Inbox, clock: Callable[[], int]) -> None:
        super().__init__(inbox, AttemptStore(inbox, clock))

    def next_at(self, serves: Callable[[str], bool]) -> int | None:
        """Find the next moment at which something happens by itself.

        Args:
            serves: Says of a partition's name whether its batches can start.

        Returns:
            Unix ms, past or to come: a batch is due, a pause ends, or the lease of a killed worker.
        """
        held = {lease.claim.address.digest for lease in self.running}
        moments: list[int] = []
        for name, partition in self.store.partitions.items():
            moments += (end for end in partition.stopped.values() if end < NEVER)
            moments += (end for digest, end in partition.leased.items() if digest not in held)
            if serves(name):
                moments += partition.due.values()
        return min(moments, default=None)

    def look(self) -> None:
        """Do what a dispatcher and the renewing thread do: renew what runs, end pauses, reclaim."""
        for lease in tuple(self.running):
            lease.renew()
        self.moved()
        partitions = [*self.store.partitions]
        for name, needs in zip(partitions, self.store.dispatch(partitions, "", 0), strict=True):
            if needs.expired:
                reclaim(self.inbox, self.store, name)

    def handle(self, due: Due) -> None:
        """Run the handler; whatever it raises is settled by then and stands among the attempts."""
        try:
            super().handle(due)
        except SystemExit:
            # The end of a worker process; the next one takes over.
            return

    def expire(self, session: str) -> bool:
        """End the lease of a session's running batch; False when none runs."""
        ended = False
        for lease in tuple(self.running):
            partition, digest, name = lease.claim.address
            if name == session and digest in self.store.partitions[partition].leased:
                self.store.partitions[partition].leased[digest] = 0
                reclaim(self.inbox, self.store, partition)
                ended = True
        self.moved()
        return ended
