"""The command ``queues``."""

from __future__ import annotations

from dataclasses import dataclass

import click

from celery_inbox.cli.broker import BrokerAway, connected, consumers, lengths
from celery_inbox.cli.output import Columns, Output
from celery_inbox.cli.selection import of_one_inbox
from celery_inbox.cli.times import away
from celery_inbox.inbox import Inbox
from celery_inbox.store.server import clock
from celery_inbox.worker.queues import queue_name


@dataclass(frozen=True, slots=True)
class Row:
    """A partition and its queue."""

    partition: str
    queue: str
    due: int
    running: int
    stopped: int
    kicks: int
    oldest_due_at: int | None
    looked_at: int | None
    owners: list[str]
    queued: int | None
    consumers: list[str] | None


@click.command()
@click.option("--no-inspect", is_flag=True, help="Do not ask the workers who consumes; saves a second.")
@of_one_inbox
def queues(inbox: Inbox, out: Output, no_inspect: bool) -> None:
    """Show each partition with its queue.

    Due, running, stopped: sessions. Kicks: those on their way, by our record; queued: messages in the broker's queue, a
    "-" where it does not say. Dispatcher: when one looked last. Served by: workers that told within a lease that they
    serve it. Consumers: workers that answered within a second.
    """
    now = clock(inbox.open_store())
    found = rows(inbox, out, inspect=not no_inspect)
    columns: Columns = {
        "QUEUE": lambda row: row.queue,
        "DUE": lambda row: row.due,
        "RUNNING": lambda row: row.running,
        "STOPPED": lambda row: row.stopped,
        "OLDEST DUE": lambda row: "-" if row.oldest_due_at is None else away(row.oldest_due_at, now),
        "KICKS": lambda row: row.kicks,
        "QUEUED": lambda row: "-" if row.queued is None else row.queued,
        "DISPATCHER": lambda row: "never" if row.looked_at is None else away(row.looked_at, now),
        "SERVED BY": lambda row: ", ".join(row.owners) or "nobody",
        "CONSUMERS": lambda row: "-" if row.consumers is None else ", ".join(row.consumers) or "none",
    }
    out.list(found, columns, empty="")


def rows(inbox: Inbox, out: Output, inspect: bool) -> list[Row]:
    """Read Redis in one round trip, then the broker."""
    names = inbox.partition_names()
    depths = inbox.store.stats(names)
    queues = [queue_name(inbox.name, name) for name in names]
    living = inbox.redis_store.workers()
    queued, consuming = of_broker(inbox, out, queues, inspect)
    return [
        Row(
            name,
            queue,
            depth.due,
            depth.leased,
            depth.stopped,
            depth.kicks,
            depth.oldest_due_at,
            depth.looked_at,
            [worker.hostname for worker in living if name in worker.partitions],
            queued.get(queue),
            None if consuming is None else consuming.get(queue, []),
        )
        for name, queue, depth in zip(names, queues, depths, strict=True)
    ]


def of_broker(
    inbox: Inbox, out: Output, queues: list[str], inspect: bool
) -> tuple[dict[str, int | None], dict[str, list[str]] | None]:
    """Lengths and consumers; unknown ones when the broker is away, which is told."""
    try:
        with connected(inbox.app) as connection:
            return lengths(connection, queues), consumers(inbox.app, connection) if inspect else None
    except BrokerAway as error:
        out.note(f"the broker did not answer, so QUEUED and CONSUMERS are unknown: {error}")
        return {}, None
