"""Small inboxes whose every history is walked through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from celery_inbox.element import COMMAND, MESSAGE, Kind
from celery_inbox.store.keys import Address, address, command_address
from celery_inbox.store.moves import Terms

T0 = 1_000_000
"""When a history begins, ms."""
LEASE, BACKOFF, PAUSE = 2, 1, 1
"""Milliseconds: as short as they can be without being the same, for time passes by one ms at a step."""
MAX_ATTEMPTS = 2
SLOTS = 1
FOREVER = 10_000_000
"""Milliseconds: longer than any history."""

TERMS = Terms(
    max_batch=2,
    max_bytes=1000,
    max_pending=10,
    max_pending_bytes=1000,
    drop_oldest=False,
    active_window=-1,
    dedup_ttl=FOREVER,
    max_ids=1000,
    lease=LEASE,
    interval=1,
    min_interval=0,
    max_dead=1000,
    max_run=FOREVER,
    partitions=1,
)

Steering = Literal["pause", "pause for", "resume", "drop", "cancel"]
EVERY_STEERING: tuple[Steering, ...] = ("pause", "pause for", "resume", "drop", "cancel")


@dataclass(frozen=True, slots=True)
class Said:
    """One message or command that a producer sends."""

    address: Address
    id: str
    kind: Kind = MESSAGE


@dataclass(frozen=True)
class Case:
    """What takes part in a history, and how much may go wrong in it."""

    name: str
    producers: tuple[tuple[Said, ...], ...]
    """Each sends in its own order, beside the others."""
    workers: int = 2
    faults: int = 2
    """Crashes, losses, repetitions, outages and stops in one history."""
    steering: tuple[Steering, ...] = EVERY_STEERING
    steered: int = 1
    """Calls of people in one history."""
    on_cancel: str = "ack"
    on_exhausted: str = "park"
    debounce: int = 1
    """Milliseconds."""
    max_wait: int = 2
    """Milliseconds."""
    max_batch: int = 2

    @cached_property
    def terms(self) -> Terms:
        """Settings of its store."""
        return replace(TERMS, max_batch=self.max_batch)

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        """Every session that is sent to."""
        return tuple(dict.fromkeys(said.address for sends in self.producers for said in sends))

    @cached_property
    def partitions(self) -> tuple[str, ...]:
        """Every partition that is sent to."""
        return tuple(dict.fromkeys(place.partition for place in self.addresses))


A, B = address("a", 1), address("b", 1)
JUMP = command_address("a", "x")


def cases(faults: int, steered: int) -> tuple[Case, ...]:
    """Every case, with so many faults and calls of people in a history."""
    one = (Said(A, "1"), Said(A, "2"), Said(A, "3"))
    in_line = Said(A, "x", COMMAND)
    two = ((Said(A, "1"), Said(A, "2")), (Said(B, "3"),))
    return (
        Case("in line", (one, (in_line,)), 2, faults, steered=steered),
        Case("in line, rejoin, hold", (one, (in_line,)), 2, faults, EVERY_STEERING, steered, "rejoin", "hold"),
        Case("jump", (one, (Said(JUMP, "x", COMMAND),)), 2, faults, steered=steered),
        Case("two sessions", (*two, (in_line,)), 2, faults, steered=steered),
        Case("a lull", (one,), 1, faults, steered=steered, debounce=2, max_wait=3, max_batch=4),
        Case("three workers", (*two, (in_line,)), 3, faults, steered=steered),
    )
