"""The command ``repartition``."""

from __future__ import annotations

import time

import click

from celery_inbox.cli.output import Output
from celery_inbox.cli.selection import of_any_layout
from celery_inbox.cli.steering import YES, ask
from celery_inbox.errors import Repartitioning
from celery_inbox.inbox import Inbox
from celery_inbox.settings import MOST_PARTITIONS
from celery_inbox.store import server
from celery_inbox.store.repartition import Moved, Repartition
from celery_inbox.worker.dispatcher import reclaim

PARTITIONS = click.IntRange(1, MOST_PARTITIONS)
SECONDS = 1.0
"""Between two lines about the progress."""


@click.command()
@click.argument("old", type=PARTITIONS)
@click.argument("new", type=PARTITIONS)
@YES
@of_any_layout
def repartition(inbox: Inbox, out: Output, old: int, new: int, yes: bool) -> None:
    """Move all sessions from OLD to NEW partitions.

    Stop the inbox's workers first: it refuses while one lives or a batch runs. Sends are refused meanwhile
    (Repartitioning) and nothing is lost: what waits, open batches with their attempts, pauses, remembered ids, dead
    letters and counters move. Interrupted at any point, it goes on when it is run again. Afterwards set
    inbox_partitions to NEW in every process. Exits with 1 when NEW is recorded already.
    """
    store = inbox.open_store()
    recorded = server.recorded(store)
    if recorded.get("partitions") == str(new) and "moving" not in recorded:
        out.nothing({"partitions": new, "sessions": 0, "letters": 0}, f"{inbox} has {new} partitions already")
    ask(f"Move all sessions of {inbox} from {old} to {new} partitions? Its workers must be stopped.", yes)
    end_leases(inbox, old)
    moved = Repartition(store, old, new).run(Progress(out).tell)
    out.outcome(
        {"partitions": new, "sessions": moved.sessions, "letters": moved.letters},
        f"{inbox} has {new} partitions; sessions moved: {moved.sessions}, dead letters moved: {moved.letters}; "
        f"now set inbox_partitions={new} in every process",
    )


def end_leases(inbox: Inbox, partitions: int) -> None:
    """Reclaim what killed workers left behind, for nobody else is there to do it."""
    for partition in map(str, range(partitions)):
        try:
            reclaim(inbox, inbox.redis_store, partition)
        except Repartitioning:
            # Frozen by a run that was interrupted: nothing is leased there.
            continue


class Progress:
    """Tells now and then how much was moved."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._told_at = time.monotonic()

    def tell(self, moved: Moved) -> None:
        """Print a line on stderr, unless the last one is fresh."""
        if time.monotonic() - self._told_at >= SECONDS:
            self._told_at = time.monotonic()
            self._out.note(f"sessions moved: {moved.sessions}, dead letters moved: {moved.letters}")
