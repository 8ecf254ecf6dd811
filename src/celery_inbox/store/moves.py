"""The moves of a session and their replies, the same for both stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from celery_inbox.element import MESSAGE, Kind
from celery_inbox.settings import Settings, ms
from celery_inbox.store.keys import Address

GENERATED_TTL = 60_000
"""Milliseconds for which a generated id is remembered: longer than any client re-sends a call."""
SETTLED_TTL = 300_000
"""Milliseconds for which a settled fence is remembered."""
MOST_REMEMBERED = 10_000
"""Most generated ids, and most settled fences, of one partition."""
LOOK_AT = 100
"""Most due sessions that one claim looks at; also the size of a page."""
MOST_BATCHES = 10
"""Times ``max_batch`` that a running batch may grow to by ``take_new``."""
NEVER = 9_000_000_000_000_000
"""An instant that does not come: the end of a stop without one."""
CRASHED = "The worker did not renew its lease: killed, out of memory, or hung."
"""Stands where a dead letter of a failed handler has its traceback."""
MOST_RECLAIMED = 20
"""Most leases that one reclaim ends, for each may isolate a batch."""
MOST_CORRUPT = 1000
"""Most quarantined elements that a partition keeps."""
MOST_EVICTED = 100
"""Most dead letters that make room for one."""
LATENESS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000)
"""Upper bounds of the buckets in which the lateness of batches is counted, milliseconds."""
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Upper bounds of the buckets in which the size of batches is counted, messages."""

SHARES = "shares"
"""Stands for a partition in a wake that says that the shares of the workers may have changed."""

SendStatus = Literal["accepted", "duplicate", "ignored", "full", "moved"]
Exhausted = Literal["dead", "held", "isolated"]
Outcome = Literal["done", "lost", "retry", "dead", "held", "isolated"]
Standing = Literal["held", "cancelled", "lost"]
Cancelled = Literal["marked", "done", "nothing", "lost"]
Replaced = Literal["replaced", "late", "full"]
State = Literal["due", "running", "stopped"]


def bucket(bounds: Sequence[int], value: int) -> str:
    """Name of the narrowest bucket that holds a value."""
    return next((str(bound) for bound in bounds if value <= bound), "more")


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings that the moves need, in milliseconds and bytes."""

    max_batch: int
    max_bytes: int
    max_pending: int
    max_pending_bytes: int
    drop_oldest: bool
    active_window: int
    dedup_ttl: int
    max_ids: int
    lease: int
    interval: int
    min_interval: int
    max_dead: int
    max_run: int
    partitions: int

    @classmethod
    def of(cls, settings: Settings) -> Terms:
        """Convert settings once."""
        return cls(
            max_batch=settings.max_batch,
            max_bytes=settings.max_bytes,
            max_pending=settings.max_pending,
            max_pending_bytes=settings.max_pending_bytes,
            drop_oldest=settings.overflow == "drop_oldest",
            active_window=-1 if settings.active_window is None else ms(settings.active_window),
            dedup_ttl=ms(settings.dedup_ttl),
            max_ids=settings.max_ids,
            lease=ms(settings.lease),
            interval=ms(settings.dispatch_interval),
            min_interval=ms(settings.min_interval),
            max_dead=settings.max_dead,
            max_run=ms(settings.max_run),
            partitions=settings.partitions,
        )


class Outgoing(NamedTuple):
    """A message on its way into a store; a named tuple, for one is made with every send."""

    address: Address
    id: str
    """Percent-encoded."""
    generated: bool
    """True when the caller gave no id."""
    payload: bytes
    debounce: int
    """Milliseconds."""
    max_wait: int
    """Milliseconds."""
    kind: Kind = MESSAGE
    flags: str = "a"
    """As in the element header."""
    key: str = "-"
    """Digest of the batch key."""
    flush: bool = False

    @property
    def form(self) -> str:
        """Everything but the payload, as ``send.lua`` reads it."""
        _, digest, session = self.address
        manner = manner_of(self.generated, self.kind, self.flags, self.flush, self.debounce, self.max_wait)
        return f"{digest} {self.id} {self.key} {manner} {session}"


@lru_cache(maxsize=256)
def manner_of(generated: bool, kind: Kind, flags: str, flush: bool, debounce: int, max_wait: int) -> str:
    """What most sends of an inbox have in common."""
    return f"{generated:d} {kind} {flags} {flush:d} {debounce} {max_wait}"


class Sent(NamedTuple):
    """Reply of ``send``."""

    status: SendStatus
    waiting: int
    """Messages that wait in the session; the recorded number of partitions when ``moved``."""
    waiting_bytes: int
    due_at: int | None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a claim must know of the handler, so that recovery can act without it."""

    kind: Kind = MESSAGE
    max_attempts: int = 5
    on_exhausted: str = "park"
    worker: str = ""
    on_cancel: str = "ack"


@dataclass(frozen=True, slots=True)
class Claim:
    """A leased batch."""

    address: Address
    fence: int
    attempt: int
    batch_id: str
    kind: Kind
    due_at: int
    """When the batch was due, Unix ms."""
    claimed_at: int
    """When it was claimed, Unix ms."""
    elements: tuple[bytes, ...] = field(repr=False)
    """Its messages as they lie in the store; not shown, for claims travel in signals."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Reply of ``ack``, ``nack`` and ``release``."""

    outcome: Outcome
    handled: int = 0
    """Messages that the ack counted as handled."""
    retry_at: int | None = None
    """When a nacked batch may be tried again, Unix ms."""
    dead_id: str | None = None
    evicted: tuple[str, ...] = ()
    """Dead letters that made room."""
    next: Claim | None = None
    """The claim that the same call made."""


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """A lease that ended without its holder."""

    address: Address
    fence: int
    attempt: int
    outcome: Outcome
    batch_id: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What a partition needs now."""

    look_in: int
    """Milliseconds until the dispatcher should look again."""
    expired: int
    """Leases that have ended and wait for reclaim."""
    old_kicks: int = 0
    """Kicks that were published longer than a lease ago: lost, or still in the broker."""
    kicks: tuple[tuple[Kind, str], ...] = ()
    """Kicks to publish: kind and id."""


@dataclass(frozen=True, slots=True)
class View:
    """A session as ``peek`` shows it."""

    due_at: int | None
    lease_end: int | None
    stopped_until: int | None
    """End of a stop, Unix ms; ``NEVER`` for one without end."""
    waiting: int
    batch_id: str | None
    attempt: int
    fence: int | None
    batch: tuple[bytes, ...]
    elements: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A session as ``sessions`` lists it."""

    session: str
    state: State
    at: int
    """When it is due, when its lease ends, or when its stop ends; Unix ms."""
    waiting: int
    open: int
    """Messages of its open batch."""
    attempt: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter."""

    id: str
    """Id of the batch that died."""
    session: str
    at: int
    """When it died, Unix ms."""
    attempts: int
    reason: str
    traceback: str
    kind: Kind
    elements: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Depths:
    """Counters and depths of one partition."""

    counts: dict[str, int] = field(default_factory=dict)
    due: int = 0
    leased: int = 0
    stopped: int = 0
    kicks: int = 0
    letters: int = 0
    oldest_due_at: int | None = None
    looked_at: int | None = None
    """When a dispatcher looked at the partition last, Unix ms; None: never."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A worker that lives."""

    worker: str
    """Its identity: node name, a slash, a name for this start of it."""
    told_at: int
    """When it told last that it lives, Unix ms."""
    consumed_at: int | None
    """When it consumed last, within the last hour, Unix ms."""
    partitions: tuple[str, ...]

    @property
    def hostname(self) -> str:
        """Its Celery node name."""
        return self.worker.rpartition("/")[0]


class Store(Protocol):
    """One inbox's sessions. ``now`` is Unix ms; None means the store's own clock."""

    terms: Terms

    def register(self, partitions: int, serializer: str) -> tuple[int, str]: ...
    def send(self, message: Outgoing, now: int | None = None) -> Sent: ...
    def send_many(self, messages: Sequence[Outgoing], now: int | None = None) -> list[Sent]: ...
    async def asend(self, message: Outgoing) -> Sent: ...
    def touch(self, address: Address, now: int | None = None) -> int | None: ...
    def flush(self, address: Address, now: int | None = None) -> int: ...
    def claim(self, partition: str, token: str, plan: Plan, kick: str = "", now: int | None = None) -> Claim | None: ...
    def renew(self, claim: Claim, now: int | None = None) -> bool: ...
    def standing(self, claim: Claim) -> Standing: ...
    def take_new(self, claim: Claim, known: int) -> tuple[bytes, ...] | None: ...
    def ack(self, claim: Claim, token: str = "", plan: Plan | None = None, now: int | None = None) -> Settled: ...
    def nack(
        self, claim: Claim, delay: int, reason: str = "", traceback: str = "", now: int | None = None
    ) -> Settled: ...
    def release(self, claim: Claim, now: int | None = None) -> Settled: ...
    def cancel(self, address: Address, fence: int = 0, now: int | None = None) -> Cancelled: ...
    def reclaim(self, partition: str, outage: bool = False, now: int | None = None) -> list[Reclaimed]: ...
    def quarantine(self, claim: Claim, element: bytes) -> bool: ...
    def dispatch(
        self, partitions: Sequence[str], nonce: str, slots: int, now: int | None = None, queued: int = -1
    ) -> list[Dispatch]: ...
    def unkick(self, partition: str, kicks: Sequence[tuple[Kind, str]]) -> int: ...
    def stop(self, partitions: Sequence[str], worker: str, now: int | None = None) -> None: ...
    def pause(self, address: Address, duration: int, now: int | None = None) -> None: ...
    def resume(self, address: Address, now: int | None = None) -> bool: ...
    def drop(self, address: Address, ticket: str, now: int | None = None) -> int: ...
    def dropped(self, partition: str, ticket: str, most: int = LOOK_AT) -> tuple[bytes, ...]: ...
    def remove(self, address: Address, id: str, now: int | None = None) -> bool: ...
    def replace(self, message: Outgoing, now: int | None = None) -> Replaced: ...
    def forget(self, partition: str, session: str, digest: str = "", now: int | None = None) -> tuple[int, int]: ...
    def purge(self, partition: str, id: str, evicted: bool = False) -> int: ...
    def sessions(self, partition: str, first: int = 0, most: int = LOOK_AT) -> list[Listed]: ...
    def peek(self, address: Address, first: int = 0, last: int = 99) -> View | None: ...
    def letters(self, partition: str, first: int = 0, last: int = 99, session: str = "") -> list[Letter]: ...
    def redrive(self, id: str, address: Address, debounce: int, max_wait: int, now: int | None = None) -> int: ...
    def stats(self, partitions: Sequence[str]) -> list[Depths]: ...
