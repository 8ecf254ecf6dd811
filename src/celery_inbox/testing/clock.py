"""The clock that a test advances; whatever becomes due meanwhile is handled."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from celery_inbox.settings import ms
from celery_inbox.store.keys import COMMAND_PARTITION
from celery_inbox.testing.served import Served
from celery_inbox.worker import event_loop

MOST_AT_ONCE = 10_000
"""Batches that may start without any time passing: more is a handler that keeps itself busy."""


class Clock:
    """Time for the inboxes of a kit; it stands still unless it is advanced."""

    def __init__(self) -> None:
        self.started_at = self.now = time.time_ns() // 1_000_000
        self.served: list[Served] = []
        self.runs = False
        self._busy: set[bool] = set()

    def __repr__(self) -> str:
        return f"<Clock {(self.now - self.started_at) / 1000:+g} s>"

    def read(self) -> int:
        """The time, Unix ms."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass, and handle what is due on the way, each at its time; 0 handles what is due now.

        In a handler it is the handler that takes so long: leases are renewed, commands that jump are handled, and
        batches wait until the handler has ended. In an async handler: ``await asyncio.to_thread(clock.advance, 1.0)``.

        Args:
            seconds: 0 or more.

        Raises:
            ValueError: Time does not go back; nothing was changed.
            ConfigurationError: A batch or command is due, and its inbox has no handler for it.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
            raise ValueError(f"advance({seconds!r}): say seconds, as in advance(1.0)")
        if seconds < 0:
            raise ValueError(f"advance({seconds!r}): time does not go back")
        if not self.runs:
            raise RuntimeError("the kit is not in use: advance the clock inside `with InboxKit(inbox) as kit:`")
        if event_loop.is_here():
            raise RuntimeError("in an async handler: await asyncio.to_thread(clock.advance, seconds)")
        end, began = self.now + ms(seconds), self._attempts()
        while (at := self._next_at()) is not None and at <= max(end, self.now):
            if at > self.now:
                began = self._attempts()
            elif self._attempts() - began > MOST_AT_ONCE:
                raise RuntimeError(f"{MOST_AT_ONCE} batches in no time: does a handler send to its own inbox?")
            self._move_to(at)
            self._handle_one()
        self._move_to(end)

    def _attempts(self) -> int:
        return sum(len(served.store.attempts) for served in self.served)

    def _is_idle(self, partition: str) -> bool:
        """Has the worker of a partition nothing to do? There are two: for batches, for commands that jump."""
        return (partition == COMMAND_PARTITION) not in self._busy

    def _next_at(self) -> int | None:
        moments = [served.next_at(self._is_idle) for served in self.served]
        return min((at for at in moments if at is not None), default=None)

    def _move_to(self, at: int) -> None:
        self.now = max(self.now, at)
        for served in self.served:
            served.look()

    def _handle_one(self) -> None:
        """Handle the longest due session of all inboxes, if there is one."""
        due = [(due, number) for number, served in enumerate(self.served) if (due := served.due(self._is_idle))]
        if due and min(due)[0].at <= self.now:
            first, number = min(due)
            with self._working(first.partition == COMMAND_PARTITION):
                self.served[number].handle(first)

    @contextmanager
    def _working(self, worker: bool) -> Iterator[None]:
        self._busy.add(worker)
        try:
            yield
        finally:
            self._busy.discard(worker)
