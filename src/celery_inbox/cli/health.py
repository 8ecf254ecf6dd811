"""The command ``health``."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import cycle

import click
from celery.utils.nodenames import default_nodename, host_format

from celery_inbox.cli.canary import Canaries
from celery_inbox.cli.endings import NOTHING_TO_DO, end, told_in_one_line
from celery_inbox.cli.output import Output
from celery_inbox.cli.selection import JSON, inboxes, verify
from celery_inbox.cli.times import away
from celery_inbox.inbox import Inbox
from celery_inbox.settings import ms
from celery_inbox.store.moves import Serving
from celery_inbox.store.server import clock

BETWEEN = 1.0
"""Seconds between two canaries."""
LOOK = 0.2
"""Seconds between two looks whether one was answered."""


@dataclass(frozen=True, slots=True)
class Health:
    """What was found out about a worker in one inbox."""

    inbox: str
    worker: str
    healthy: bool
    partitions: tuple[str, ...]
    consumed_at: int | None
    said: str


@click.command()
@click.option(
    "-n",
    "--hostname",
    metavar="NAME",
    help="Node name of the worker, as it was started with; the default one of this machine if none is given.",
)
@click.option(
    "--within",
    type=click.FloatRange(6.0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="A worker that consumed within so many seconds needs no canary.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take to answer a canary.",
)
@JSON
@click.pass_context
def health(context: click.Context, hostname: str | None, within: float, timeout: float, as_json: bool) -> None:
    """Does this worker consume?

    Healthy: within 30 s it claimed, a run of it went on, or it now claims a canary: a session of nobody's, put into one
    of its partitions, that takes the whole way through Redis, dispatcher, broker and pool, and that no handler sees.
    Fit for a liveness probe on every pool; exits with 0 when the worker is healthy in every inbox that it serves, 1
    when it is not, 3 when Redis is away, which no restart of a worker cures.
    """
    name = host_format(default_nodename(hostname))
    found: list[Health] = []
    others: set[str] = set()
    for inbox in inboxes(context.obj.app).values():
        with told_in_one_line(inbox):
            verify(inbox)
            living = inbox.redis_store.workers()
            others |= {serving.hostname for serving in living}
            mine = [serving for serving in living if serving.hostname == name]
            if mine:
                # One that was started again is listed twice for a lease.
                found.append(max((look_at(inbox, each, within, timeout) for each in mine), key=lambda one: one.healthy))
    tell(Output(as_json), name, found, sorted(others))
    if not found or not all(each.healthy for each in found):
        end(NOTHING_TO_DO)


def look_at(inbox: Inbox, serving: Serving, within: float, timeout: float) -> Health:
    """Look at one worker in one inbox; it is asked only when it did nothing lately."""
    now = clock(inbox.redis_store)
    at = serving.consumed_at

    def found(healthy: bool, said: str, consumed_at: int | None = at) -> Health:
        return Health(inbox.name, serving.worker, healthy, serving.partitions, consumed_at, said)

    if at is not None and now - at <= ms(within):
        return found(True, f"consumed {away(at, now)}")
    if not serving.partitions:
        return found(True, "has no share: there are more workers than partitions")
    answered_at = ask(inbox, serving, now, timeout)
    if answered_at is None:
        last = "within the last hour" if at is None else f"since {away(at, now)}"
        return found(False, f"consumed nothing {last} and no canary within {timeout:g} s")
    return found(True, "claimed a canary", answered_at)


def ask(inbox: Inbox, serving: Serving, asked_at: int, timeout: float) -> int | None:
    """Send canaries until the worker consumes; when it did, Unix ms. A partition that others serve too needs a few."""
    canaries = Canaries(inbox)
    partitions = cycle(random.sample(serving.partitions, len(serving.partitions)))
    ends_at, next_at = time.monotonic() + timeout, 0.0
    try:
        while time.monotonic() < ends_at:
            if time.monotonic() >= next_at:
                canaries.send(next(partitions))
                next_at = time.monotonic() + BETWEEN
            time.sleep(LOOK)
            for each in inbox.redis_store.workers():
                if each.worker == serving.worker and (each.consumed_at or 0) >= asked_at:
                    return each.consumed_at
    finally:
        canaries.take_back()
    return None


def tell(out: Output, name: str, found: list[Health], others: list[str]) -> None:
    """Print the outcome."""
    if out.as_json:
        out.json({"worker": name, "healthy": bool(found) and all(each.healthy for each in found), "inboxes": found})
    elif not found:
        living = ", ".join(others) or "none"
        out.note(f"{name} serves no inbox of this app, or did not say so for a lease; workers that do: {living}")
    for each in () if out.as_json else found:
        click.echo(f"{'healthy' if each.healthy else 'NOT healthy'}: {name} {each.said} (inbox {each.inbox})")
