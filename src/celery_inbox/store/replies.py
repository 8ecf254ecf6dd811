"""From what a script replied to what a move answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

from celery_inbox.element import COMMAND, MESSAGE, Kind
from celery_inbox.store.keys import Address
from celery_inbox.store.moves import Claim, Depths, Dispatch, Letter, Listed, Reclaimed, Sent, Serving, Settled, View

WAKE = re.compile(rb"([0-9a-z]+) ([0-9]{1,15})")


def text(value: Any) -> str:
    return cast("bytes", value).decode()


def number(value: Any) -> int | None:
    return None if value is None else int(value)


def fields(flat: Sequence[bytes]) -> dict[str, str]:
    return {text(key): text(value) for key, value in zip(flat[::2], flat[1::2], strict=True)}


def sent(reply: bytes) -> Sent:
    words: list[Any] = reply.decode().split(" ")
    return Sent(words[0], int(words[1]), int(words[2]), None if words[3] == "-" else int(words[3]), tuple(words[4:]))


def claim(partition: str, reply: Any) -> Claim | None:
    if not reply:
        return None
    line, sizes, elements = reply
    digest, fence, attempt, batch, kind, due_at, claimed_at, name = text(line).split(" ", 7)
    return Claim(
        Address(partition, digest, name),
        int(fence),
        int(attempt),
        batch,
        cast("Kind", kind),
        int(due_at),
        int(claimed_at),
        divided(elements, map(int, sizes.split())),
    )


def divided(whole: bytes, sizes: Iterable[int]) -> tuple[bytes, ...]:
    """Parts of a text that stand one behind the other."""
    ends = [0, *accumulate(sizes)]
    return tuple(whole[begin:end] for begin, end in pairwise(ends))


def settled(reply: Any) -> Settled:
    """Of a nack."""
    outcome = cast(Any, text(reply[0]))
    if outcome == "retry":
        return Settled(outcome, retry_at=int(reply[1]))
    if outcome == "dead":
        return Settled(outcome, dead_id=text(reply[1]), evicted=tuple(map(text, reply[2])))
    return Settled(outcome)


def reclaimed(partition: str, reply: Any) -> Reclaimed:
    digest, name, fence, attempt, outcome, batch = reply
    place = Address(partition, text(digest), text(name))
    return Reclaimed(place, int(fence), int(attempt), cast(Any, text(outcome)), text(batch))


def dispatch(reply: Any) -> Dispatch:
    look_in, expired, old, messages, commands = reply
    kicks = [(MESSAGE, text(kick)) for kick in messages] + [(COMMAND, text(kick)) for kick in commands]
    return Dispatch(int(look_in), int(expired), int(old), tuple(kicks))


def wake(said: bytes) -> tuple[str, int] | None:
    """None for what others publish there."""
    found = WAKE.fullmatch(said)
    return (text(found[1]), int(found[2])) if found else None


def view(reply: Any) -> View | None:
    flat, due, lease_end, stopped_until, waiting, _, batch, elements = reply
    if not flat:
        return None
    found = fields(flat)
    return View(
        number(due),
        number(lease_end),
        number(stopped_until),
        int(waiting),
        found.get("batch"),
        int(found.get("attempt", 0)),
        number(found.get("fence")),
        tuple(batch),
        tuple(elements),
    )


def listed(reply: Any) -> Listed:
    _, name, state, at, waiting, size, attempt = reply
    return Listed(text(name), cast(Any, text(state)), int(at), int(waiting), int(size), int(attempt))


def letter(reply: Any) -> Letter:
    id, at, flat, elements = reply
    found = fields(flat)
    return Letter(
        text(id),
        found["session"],
        int(at),
        int(found["attempts"]),
        found["reason"],
        found["traceback"],
        cast(Kind, found["kind"]),
        tuple(elements),
    )


def depths(reply: Any) -> Depths:
    counts, due, leased, stopped, kicks, letters, oldest, looked_at = reply
    counted = {name: int(value) for name, value in fields(counts).items() if int(value)}
    return Depths(
        counted, int(due), int(leased), int(stopped), int(kicks), int(letters), number(oldest), number(looked_at)
    )


def serving(reply: Any) -> Serving:
    worker, told_at, consumed_at, partitions = reply
    return Serving(text(worker), int(told_at), number(consumed_at), tuple(text(partitions).split()))
