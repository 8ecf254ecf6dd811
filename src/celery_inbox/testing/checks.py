"""Six checks of a history: does it keep what the inbox promises?"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Literal, TypeAlias

from celery_inbox.testing.events import Event, Kind, Sent, Started
from celery_inbox.testing.history import now_ms
from celery_inbox.testing.report import Report
from celery_inbox.testing.runs import Run, runs
from celery_inbox.testing.violations import Dup, Lost, Overlap, Reorder, Stuck, Unexpected

Place: TypeAlias = tuple[str, str]
"""A session and the id of one of its messages."""

Key: TypeAlias = tuple[str, Kind, str]
"""A session's message or command: the two do not share ids."""

DEFAULT_BOUND = 60.0
"""Seconds in which a waiting message should see a start: twice the default lease."""


def check(
    events: Iterable[Event],
    *,
    waiting: Collection[Place] = (),
    dead: Collection[Place] = (),
    taken: Collection[Place] = (),
    bound: float = DEFAULT_BOUND,
    now: int | None = None,
    command_order: Literal["jump", "in_line"] = "jump",
) -> Report:
    """Judge a history.

    Order is judged within one session by the order in which its sends were recorded: give each session one sender, or
    let the senders take turns.

    Args:
        events: ``History.read().events``, in their order.
        waiting: What the inbox still has: waiting messages and those of open batches.
        dead: What was dead-lettered.
        taken: What a call took away or counted: dropped, removed, cancelled, quarantined.
        bound: Seconds within which a session with waiting messages must see a start.
        now: When ``waiting`` was true, Unix ms; None for this moment.
        command_order: As in the inbox's settings. Jumping commands have no order and may run beside a batch; commands
            in line are judged together with the messages.

    Returns:
        What each check found.
    """
    events = tuple(events)
    sends = [event for event in events if isinstance(event, Sent) and event.is_stored]
    all_runs = runs(events)
    in_line = [run for run in all_runs if run.kind == "batch" or command_order == "in_line"]
    return Report(
        (
            *lost(sends, all_runs, {*waiting, *dead, *taken}),
            *dup(all_runs),
            *reorder(sends, in_line),
            *overlap(in_line),
            *stuck(events, set(waiting), bound, now_ms() if now is None else now),
            *unexpected(sends, all_runs),
        )
    )


def lost(sends: Iterable[Sent], runs: Iterable[Run], elsewhere: Collection[Place]) -> Iterator[Lost]:
    """Find what was accepted, is in no successful run and is nowhere else."""
    handled = {key for run in runs if run.is_successful for key in keys(run)}
    for key in dict.fromkeys(map(key_of, sends)):
        session, kind, name = key
        if key not in handled and (session, name) not in elsewhere:
            yield Lost(session, kind, name)


def dup(runs: Iterable[Run]) -> Iterator[Dup]:
    """Find what is in two successful runs."""
    handled: dict[Key, list[Run]] = defaultdict(list)
    for run in runs:
        if run.is_successful:
            for key in keys(run):
                handled[key].append(run)
    for (session, _, name), twice in handled.items():
        if len(twice) > 1:
            yield Dup(session, name, tuple(twice))


def reorder(sends: Iterable[Sent], runs: Iterable[Run]) -> Iterator[Reorder]:
    """Find what was handled after something that was sent later; repetitions are not judged here."""
    order: dict[Key, int] = {}
    for send in sends:
        order.setdefault(key_of(send), len(order))
    furthest: dict[str, Key] = {}
    seen: set[Key] = set()
    for run in runs:
        for key in keys(run) if run.is_successful else ():
            if key not in order or key in seen:
                continue
            seen.add(key)
            if order[key] < order[furthest.setdefault(run.session, key)]:
                yield Reorder(run.session, key[2], furthest[run.session][2], run)
            else:
                furthest[run.session] = key


def overlap(runs: Iterable[Run]) -> Iterator[Overlap]:
    """Find runs of one session that began before another one had ended."""
    sessions: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        sessions[run.session].append(run)
    for session, own in sessions.items():
        open_runs: list[Run] = []
        for run in own:
            open_runs = [earlier for earlier in open_runs if earlier.overlaps(run)]
            for earlier in open_runs:
                yield Overlap(session, earlier, run)
            open_runs.append(run)


def stuck(events: Iterable[Event], waiting: set[Place], bound: float, now: int) -> Iterator[Stuck]:
    """Find sessions in which messages wait and nothing has started for longer than the bound."""
    sent_at: dict[str, int] = {}
    run_at: dict[str, int] = {}
    for event in events:
        if isinstance(event, Started):  # its end, too: until then the next batch could not start
            run_at[event.session] = event.at
        elif (event.session, event.id) in waiting:
            sent_at.setdefault(event.session, event.at)
    for session in sorted({session for session, _ in waiting}):
        idle = (now - max(sent_at.get(session, 0), run_at.get(session, 0))) / 1000
        if idle > bound:
            yield Stuck(session, sum(place[0] == session for place in waiting), idle)


def unexpected(sends: Iterable[Sent], runs: Iterable[Run]) -> Iterator[Unexpected]:
    """Find what a handler was given although it was never sent, or was sent elsewhere."""
    senders: dict[str, dict[str, None]] = defaultdict(dict)
    known: set[Key] = set()
    for send in sends:
        known.add(key_of(send))
        senders[send.id][send.session] = None
    for run in runs:
        for key in keys(run):
            if key not in known:
                yield Unexpected(key[2], run, tuple(senders.get(key[2], ())))


def key_of(send: Sent) -> Key:
    """Name what was sent."""
    return send.session, send.kind, send.id


def keys(run: Run) -> list[Key]:
    """Name what a run was given."""
    return [(run.session, run.kind, name) for name in run.ids]
