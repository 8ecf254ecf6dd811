"""Who may take others for dead, and when."""

from __future__ import annotations

from typing import Any, cast

import pytest
from celery import Celery

from celery_inbox import Inbox
from celery_inbox.store.redis import RedisStore
from celery_inbox.worker import share as module
from celery_inbox.worker.share import Share

LEASE = 2.0
LATE = 0.01
"""Seconds by which a thread wakes late."""


class Roster:
    """Stands for the store: whether the dead were buried with the last call."""

    buries: bool | None = None

    def share(self, worker: str, fixed: object, held: object, partitions: int, bury: bool) -> list[str]:  # noqa: ARG002
        self.buries = bury
        return []


class Clock:
    at = 1000.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def renew(share: Share, clock: Clock, after: float) -> bool | None:
    clock.at += after
    roster = Roster()
    share.renew(cast("RedisStore", cast("Any", roster)))
    return roster.buries


def test_who_tells_every_third_of_a_lease_buries_the_dead(clock: Clock) -> None:
    """So it is when dispatch_interval is longer than that; a thread wakes a little later than it asked to."""
    inbox = Inbox(Celery("share", set_as_current=False), "chat", lease=LEASE, dispatch_interval=LEASE)
    share = Share(inbox, "w", ["0"])
    assert [renew(share, clock, LEASE / 3 + LATE) for _ in range(5)] == [True] * 5


def test_after_an_outage_nobody_is_buried_for_a_lease(clock: Clock) -> None:
    """The others could not tell either."""
    inbox = Inbox(Celery("share", set_as_current=False), "chat", lease=LEASE)
    share = Share(inbox, "w", ["0"])
    assert renew(share, clock, LEASE / 3)
    assert not renew(share, clock, LEASE)
    assert [renew(share, clock, LEASE / 3 + LATE) for _ in range(3)] == [False, False, True]
