"""What a kit prints beneath a failed assertion: every session, what was handled, what waits, until when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from celery_inbox.element import COMMAND
from celery_inbox.store.moves import NEVER
from celery_inbox.store.partition import Partition
from celery_inbox.testing.attempts import Attempt
from celery_inbox.testing.clock import Clock
from celery_inbox.testing.served import Served

LONGEST = 200
"""Characters of a body that are printed."""
MOST_SESSIONS = 20
MOST = 50
"""Lines of a session that are printed; the latest."""


def found(clock: Clock, session: str | None = None) -> str:
    """Describe what a kit has seen, one session first."""
    if not any(served.store.names for served in clock.served):
        return "nothing was sent to an inbox of this kit"
    return "\n".join(line for served in clock.served for line in of_inbox(served, clock, session))


def of_inbox(served: Served, clock: Clock, first: str | None) -> Iterator[str]:
    """Describe one inbox."""
    yield f"{served.inbox} at {span(clock.now - clock.started_at)}"
    names = sorted(served.store.names, key=lambda name: name != first)
    for name in names[:MOST_SESSIONS]:
        yield f"  session {name!r}"
        lines = [*past(served, name, clock), *dead(served, name), *standing(served, name, clock)]
        if len(lines) > MOST:
            yield f"    ... {len(lines) - MOST} more"
        yield from (f"    {line}" for line in lines[-MOST:] or ["nothing is left, nothing was handled"])
    if len(names) > MOST_SESSIONS:
        yield f"  ... {len(names) - MOST_SESSIONS} more sessions"


def past(served: Served, name: str, clock: Clock) -> list[str]:
    """Describe what was not stored, and what the handlers were given, in the order of time."""
    store = served.store
    lines = [(each.at, f"{each.status}, not stored", [each.body], "") for each in store.refused if each.session == name]
    lines += [(each.at, told(each), each.bodies, why(each)) for each in store.attempts if each.session == name]
    lines.sort(key=lambda line: line[0])
    return [f"{what} at {span(at - clock.started_at)}: {show(bodies)}{end}" for at, what, bodies, end in lines]


def told(attempt: Attempt) -> str:
    """Name what became of an attempt."""
    kind = "command" if attempt.is_command else "batch"
    number = "" if attempt.attempt == 1 and attempt.outcome == "handled" else f", attempt {attempt.attempt}"
    return f"{kind} {'failed' if attempt.outcome == 'retry' else attempt.outcome}{number}"


def why(attempt: Attempt) -> str:
    """Say what a failed attempt raised."""
    return f"; {clipped(attempt.error)}" if attempt.error else ""


def dead(served: Served, name: str) -> Iterator[str]:
    """Describe the dead letters."""
    for partition in served.store.partitions.values():
        for letter in partition.letters.values():
            if letter.session == name:
                bodies = [message.body for message in served.store.decode(letter.elements)]
                yield f"dead letter: {show(bodies)}"


def standing(served: Served, name: str, clock: Clock) -> Iterator[str]:
    """Describe what waits and what is open."""
    for partition in served.store.partitions.values():
        for digest, session in partition.sessions.items():
            if session.name != name:
                continue
            when = moment(partition, digest, clock)
            kind = "command" if session.next_kind == COMMAND else "batch"
            if session.batch:
                bodies = [message.body for message in served.store.decode(session.batch)]
                yield f"open {kind} after attempt {session.attempt}, {when}: {show(bodies)}"
            if session.waiting:
                bodies = [message.body for message in served.store.decode(session.waiting)]
                behind = ", behind the open batch" if session.batch_id else f", {when}"
                yield f"waiting{' command' if partition.name == 'command' else ''}{behind}: {show(bodies)}"


def moment(partition: Partition, digest: str, clock: Clock) -> str:
    """Say when a session goes on."""
    if digest in partition.stopped:
        end = partition.stopped[digest]
        return "stopped" if end == NEVER else f"stopped for {seconds(end - clock.now)}"
    if digest in partition.leased:
        return f"its lease ends in {seconds(partition.leased[digest] - clock.now)}"
    left = partition.due[digest] - clock.now
    return f"due in {seconds(left)}" if left > 0 else "due now, when the clock is advanced"


def span(milliseconds: int) -> str:
    """Write a moment after the kit's start."""
    return f"+{seconds(milliseconds)}"


def seconds(milliseconds: int) -> str:
    """Write a duration."""
    return f"{milliseconds / 1000:g} s"


def show(bodies: Iterable[Any]) -> str:
    """Write bodies as a list."""
    return f"[{', '.join(map(short, bodies))}]"


def listed(batches: Sequence[Sequence[Any]]) -> str:
    """Write batches as a list of lists."""
    return f"[{', '.join(map(show, batches))}]"


def short(body: Any) -> str:
    """Write a body, or the beginning of a long one."""
    return clipped(repr(body))


def clipped(text: str) -> str:
    """Cut a long text off."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"
