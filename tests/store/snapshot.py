"""Everything that a partition holds, read from either store in the same form."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from celery_inbox.element import CorruptElement, NewerElement, unpack
from celery_inbox.store.keys import session_digest
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import Store
from celery_inbox.store.redis import RedisStore

PARTITION_KEYS = {
    "due", "leased", "stopped", "kicks", "fence", "holders", "settled", "generated", "stopping", "dead", "corrupt",
    "counts", "names", "state",
}  # fmt: skip
EXPIRING_MARKS = {"ids", "window", "rest", "dropped"}
LASTING_MARKS = {"pause"}
ENDINGS = ("handled", "dead", "dropped", "removed", "cancelled", "quarantined")
SESSION_KEYS = {"s", "w", "b"}


@dataclass(frozen=True)
class Snapshot:
    """A partition between two moves; sessions are named by their digests."""

    due: dict[str, int]
    leased: dict[str, int]
    stopped: dict[str, int]
    sessions: frozenset[str]
    """Sessions with a record."""
    waiting: dict[str, tuple[bytes, ...]]
    batches: dict[str, tuple[bytes, ...]]
    open: frozenset[str]
    """Sessions with a batch id."""
    held: frozenset[str]
    """Sessions with a fence."""
    holders: dict[str, str]
    """Claim token to session."""
    letters: dict[str, tuple[bytes, ...]]
    authors: dict[str, str]
    """Dead letter to session."""
    corrupt: tuple[bytes, ...]
    counts: dict[str, int]

    def places(self) -> Counter[tuple[str, bytes]]:
        """Count every element that is kept, wherever it is, with its session; quarantine knows no sessions."""
        lists = chain(self.waiting.items(), self.batches.items())
        kept = Counter((digest, element) for digest, elements in lists for element in elements)
        kept.update((self.authors[id], element) for id, elements in self.letters.items() for element in elements)
        kept.update(("", element) for element in self.corrupt)
        return kept

    def check(self) -> None:
        """Assert what every move leaves true: section 4's sets, promise 8's sum."""
        sets = [set(self.due), set(self.leased), set(self.stopped)]
        assert sum(map(len, sets)) == len(set().union(*sets)), f"a session is in two sets: {self}"
        assert set().union(*sets) == self.sessions, f"sets and records disagree: {self}"
        with_messages = set(self.waiting) | self.open
        assert self.sessions == with_messages, f"records and messages disagree: {self}"
        assert set(self.batches) <= self.open, f"a batch list without a batch: {self}"
        assert self.held == set(self.leased) == set(self.holders.values()), f"leases and holders disagree: {self}"
        assert len(self.holders) == len(self.leased), f"a token without a lease: {self}"
        twice = [place for place, count in self.places().items() if count > 1 and is_element(place[1])]
        assert not twice, f"in two places: {twice}"

    def check_sum(self) -> None:
        """Assert promise 8: accepted = how they ended + waiting + in an open batch."""
        assert self.missing() == 0, f"promise 8: {self}"

    def missing(self) -> int:
        """Count messages that were accepted and are neither kept nor ended."""
        kept = sum(map(len, chain(self.waiting.values(), self.batches.values())))
        return self.counts.get("accepted", 0) - kept - sum(self.counts.get(ending, 0) for ending in ENDINGS)


def is_element(element: bytes) -> bool:
    """Whether it has a header: what tests plant by hand may stand twice."""
    try:
        unpack(element)
    except (CorruptElement, NewerElement):
        return False
    return True


def snapshot(store: Store, partition: str = "0") -> Snapshot:
    """Read all of a partition."""
    if isinstance(store, MemoryStore):
        return of_memory(store, partition)
    assert isinstance(store, RedisStore)
    return of_redis(store, partition)


def of_memory(store: MemoryStore, name: str) -> Snapshot:
    """Read a partition of the in-memory store."""
    partition, _ = store._at(name, 0)
    sessions = partition.sessions
    return Snapshot(
        due=dict(partition.due),
        leased=dict(partition.leased),
        stopped=dict(partition.stopped),
        sessions=frozenset(sessions),
        waiting={digest: tuple(session.waiting) for digest, session in sessions.items() if session.waiting},
        batches={digest: tuple(session.batch) for digest, session in sessions.items() if session.batch},
        open=frozenset(digest for digest, session in sessions.items() if session.batch_id),
        held=frozenset(digest for digest, session in sessions.items() if session.fence),
        holders=dict(partition.holders),
        letters={id: letter.elements for id, letter in partition.letters.items()},
        authors={id: session_digest(letter.session.encode()) for id, letter in partition.letters.items()},
        corrupt=tuple(partition.corrupt),
        counts={name: count for name, count in partition.counts.items() if count},
    )


def of_redis(store: RedisStore, name: str) -> Snapshot:
    """Read a partition of Redis in two round trips."""
    names, values = read_keys(store, name)
    of: dict[str, dict[str, Any]] = {}
    for key, value in zip(names, values, strict=True):
        room, _, rest = key.partition(":")
        of.setdefault(room, {})[rest] = value
    records = {digest: dict(record) for digest, record in of.get("s", {}).items()}
    letters = {id: tuple(elements) for id, elements in of.get("dead", {}).items() if id}
    assert set(letters) == {id.decode() for id, _ in of.get("dead", {}).get("", [])} == set(of.get("dead-info", {}))
    return Snapshot(
        due=scores(of, "due"),
        leased=scores(of, "leased"),
        stopped=scores(of, "stopped"),
        sessions=frozenset(records),
        waiting={digest: tuple(elements) for digest, elements in of.get("w", {}).items()},
        batches={digest: tuple(elements) for digest, elements in of.get("b", {}).items()},
        open=frozenset(digest for digest, record in records.items() if b"batch" in record),
        held=frozenset(digest for digest, record in records.items() if b"fence" in record),
        holders={token.decode(): digest.decode() for token, digest in whole(of, "holders", {}).items()},
        letters=letters,
        authors={id: session_digest(info[b"session"]) for id, info in of.get("dead-info", {}).items()},
        corrupt=tuple(whole(of, "corrupt", ())),
        counts={name.decode(): int(count) for name, count in whole(of, "counts", {}).items() if int(count)},
    )


def whole(of: dict[str, dict[str, Any]], room: str, default: Any) -> Any:
    return of.get(room, {}).get("", default)


def scores(of: dict[str, dict[str, Any]], room: str) -> dict[str, int]:
    return {member.decode(): int(score) for member, score in whole(of, room, [])}


def read_keys(store: RedisStore, partition: str) -> tuple[list[str], list[Any]]:
    """Read names, without the prefix, and values of the keys that a snapshot shows."""
    prefix = store.prefix(partition) + ":"
    zsets, lists = {"due", "leased", "stopped", "dead"}, {"w", "b", "corrupt"}
    hashes = {"s", "holders", "counts", "dead-info"}
    keys = [key[len(prefix) :] for key in keys_of(store, prefix)]
    pipeline = store.client.pipeline(transaction=False)
    names = []
    for name in keys:
        room, _, rest = name.partition(":")
        if room in hashes:
            pipeline.hgetall(prefix + name)
        elif room in lists or (room == "dead" and rest):
            pipeline.lrange(prefix + name, 0, -1)
        elif room in zsets:
            pipeline.zrange(prefix + name, 0, -1, withscores=True)
        else:
            continue
        names.append(name)
    return names, pipeline.execute() if names else []


def keys_of(store: RedisStore, prefix: str) -> list[str]:
    """List the keys that begin with a prefix; braces mean nothing in a pattern."""
    assert not set(prefix) & set("*?[]\\")
    found: list[Any] = [
        key for server in store.link.servers() for key in cast("list[bytes]", server.keys(prefix + "*"))
    ]
    return [key.decode() for key in found]


def sweep(store: RedisStore) -> None:
    """Remove what a test left in its namespace."""
    keys = keys_of(store, store._namespace + ":")
    if keys:
        store.client.delete(*keys)
    store.client.close()


def leaks(store: RedisStore, partition: str = "0") -> list[str]:
    """Name the keys that should be gone: a finished session leaves nothing but marks that expire by themselves."""
    prefix = store.prefix(partition) + ":"
    found = of_redis(store, partition)
    living = {*found.due, *found.leased, *found.stopped}
    wrong = []
    for key in keys_of(store, prefix):
        room, _, rest = key[len(prefix) :].partition(":")
        if not rest and room in PARTITION_KEYS:
            continue
        if room in SESSION_KEYS and rest in living:
            continue
        if room in LASTING_MARKS:
            continue
        if room in EXPIRING_MARKS and store.client.pttl(key) > 0:
            continue
        if room in {"dead", "dead-info"} and rest in found.letters:
            continue
        wrong.append(key)
    return wrong
