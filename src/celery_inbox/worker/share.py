"""What a worker serves of one inbox, as agreed with the other workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from celery_inbox.worker.consuming import Consuming

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox
    from celery_inbox.store.redis import RedisStore


class Share:
    """The partitions of one worker: fixed ones, and those that it takes among the workers that share.

    A partition changes hands in two steps: its owner ceases to consume it, then says so. An owner that has not told for
    a lease is dead.
    """

    def __init__(
        self, inbox: BoundInbox, identity: str, fixed: Sequence[str], consuming: Consuming | None = None
    ) -> None:
        self.fixed = list(fixed)
        self._lease = inbox.settings.lease
        self._partitions = inbox.settings.partitions if consuming else 0
        self._identity = identity
        self._consuming = consuming
        self._mine: list[str] = []
        self._told: list[str] = []
        self._told_at = self._buries_from = time.monotonic()
        self._has_left = False
        self._lock = threading.Lock()

    @property
    def partitions(self) -> list[str]:
        """What this worker serves."""
        return [*self._mine, *self.fixed]

    def renew(self, store: RedisStore) -> None:
        """Tell that this worker lives and what it consumes; learn what it may consume.

        Raises:
            StorageUnavailable: Redis did not answer; the share stays what it was.
        """
        with self._lock:
            if not self._has_left:
                self._told = self._held
                bury = self._may_bury()
                self._mine = store.share(self._identity, self.fixed, self._told, self._partitions, bury)
                self._told_at = time.monotonic()
                if self._consuming is not None:
                    self._consuming.want(self._mine)

    def _may_bury(self) -> bool:
        """Who could not reach Redis for a while gives the others a lease to return, for they could not either.

        Everybody tells every third of a lease at least; less than half of one is no outage.
        """
        now = time.monotonic()
        if now - self._told_at > self._lease / 2:
            self._buries_from = now + self._lease
        return now >= self._buries_from

    @property
    def _held(self) -> list[str]:
        return [] if self._consuming is None else self._consuming.held

    @property
    def is_moving(self) -> bool:
        """Is something still consumed that others wait for?"""
        return set(self._held) > set(self._mine)

    @property
    def has_moved(self) -> bool:
        """Is less consumed than was told last?"""
        return self._held != self._told and not self._has_left

    def leave(self, store: RedisStore) -> None:
        """Free the share at once, for good.

        Raises:
            StorageUnavailable: Redis did not answer; the share is free when a lease is over.
        """
        with self._lock:
            self._has_left = True
            store.leave(self._identity)
