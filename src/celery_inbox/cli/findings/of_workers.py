"""Is every partition looked after by a dispatcher, that of the commands included?"""

from __future__ import annotations

from collections.abc import Iterable

from celery_inbox.cli.findings.report import Section
from celery_inbox.cli.times import away
from celery_inbox.element import COMMAND
from celery_inbox.inbox import Inbox
from celery_inbox.settings import ms
from celery_inbox.store.keys import COMMAND_PARTITION
from celery_inbox.store.moves import Depths
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.server import clock


def look_at_workers(inbox: Inbox, store: RedisStore, section: Section) -> None:
    """Report on dispatchers, the command worker, and sessions that wait for a slot."""
    names = inbox.partition_names()
    depths = dict(zip(names, store.stats(names), strict=True))
    now = clock(store)
    patience = ms(inbox.settings.dispatch_interval) + ms(inbox.settings.lease)
    quiet = [name for name, depth in depths.items() if depth.looked_at is None or now - depth.looked_at > patience]
    look_at_dispatchers(inbox, depths, [name for name in quiet if name != COMMAND_PARTITION], now, section)
    look_at_command_worker(inbox, COMMAND_PARTITION not in quiet, section)
    late = [
        name
        for name, depth in depths.items()
        if name not in quiet and depth.oldest_due_at is not None and now - depth.oldest_due_at > patience
    ]
    if late:
        oldest = min(depths[name].oldest_due_at or now for name in late)
        section.warn(
            "slots",
            f"partitions {ranges(late)} have a dispatcher, but sessions due {away(oldest, now)} wait for a slot",
            'add workers or slots (-c), or see with "queues" whether somebody consumes',
        )


def look_at_dispatchers(inbox: Inbox, depths: dict[str, Depths], quiet: list[str], now: int, section: Section) -> None:
    """Report numbered partitions that no dispatcher looks at."""
    if not quiet:
        section.ok("dispatchers", f"every partition has one: 0-{inbox.settings.partitions - 1}")
        return
    looks = [depths[name].looked_at or 0 for name in quiet]
    last = f"the last one looked {away(max(looks), now)}" if any(looks) else "none has ever looked"
    due = sum(depths[name].due for name in quiet)
    whole = "all" if len(quiet) == inbox.settings.partitions else ranges(quiet)
    section.error(
        "dispatchers",
        f"no live dispatcher for partitions {ranges(quiet)}, sessions that wait there: {due}; {last}",
        f"start: celery -A proj worker --inbox {inbox.name}={whole}",
    )


def look_at_command_worker(inbox: Inbox, is_alive: bool, section: Section) -> None:
    """Report on the worker that serves commands, if they go to one of their own."""
    if inbox.settings.command_order == "in_line":
        section.ok("commands", "handled in line with the messages, by the same workers")
    elif inbox.settings.is_command is None and COMMAND not in inbox.handlers:
        section.ok("commands", "this inbox has none")
    elif is_alive:
        section.ok("commands", "a worker serves them")
    else:
        section.error(
            "commands",
            "no live worker serves commands: they are stored and wait",
            f"start: celery -A proj worker --inbox {inbox.name}=command",
        )


def ranges(names: Iterable[str]) -> str:
    """Partitions as ``--inbox`` reads them: ``0-3,7,command``."""
    words: list[list[str]] = []
    for name in names:
        if words and name.isdigit() and words[-1][-1].isdigit() and int(words[-1][-1]) + 1 == int(name):
            words[-1] = [words[-1][0], name]
        else:
            words.append([name])
    return ",".join("-".join(word) for word in words)
