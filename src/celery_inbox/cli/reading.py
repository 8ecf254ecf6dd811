"""Commands that look at sessions: ``sessions``, ``stats``, ``peek``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate, islice

import click

from celery_inbox.cli.output import Columns, Output, body_text, facts, table
from celery_inbox.cli.selection import of_one_inbox
from celery_inbox.cli.times import away, duration
from celery_inbox.inbox import ENDS, Inbox
from celery_inbox.message import SessionInfo, SessionView
from celery_inbox.store.server import clock

MOST = click.option(
    "--most", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="List at most so many."
)


@click.command()
@click.option("--state", type=click.Choice(["due", "running", "stopped"]), help="Only sessions in this state.")
@MOST
@of_one_inbox
def sessions(inbox: Inbox, out: Output, state: str | None, most: int) -> None:
    """List the sessions that have messages.

    Exits with 0 also when there are none. State: "due in 0.4 s" waits for its lull, "due 3.0 s ago" for a free slot,
    "running" has a lease that ends unless it is renewed, "stopped" was paused or failed its last attempt. Waiting:
    messages; open: messages of the batch that runs or waits for its next attempt. In JSON, at is when the session is
    due, or when its lease or its stop ends, in Unix milliseconds.
    """
    found = list(islice((info for info in inbox.sessions() if state in (None, info.state)), most + 1))
    now = clock(inbox.open_store())
    columns: Columns = {
        "SESSION": lambda info: info.session,
        "STATE": lambda info: state_of(info, now),
        "WAITING": lambda info: info.waiting,
        "OPEN": lambda info: info.open,
        "ATTEMPT": lambda info: info.attempt,
        "PARTITION": lambda info: info.partition,
    }
    out.list(found[:most], columns, empty=f"{inbox} has no sessions" + (f" that are {state}" if state else ""))
    if len(found) > most:
        out.note(f"there are more: say --most with a number above {most}")


def state_of(info: SessionInfo, now: int) -> str:
    """The state of a session with its time, for people."""
    if info.state == "stopped":
        return "stopped until resume" if info.at is None else f"stopped, resumes {away(info.at, now)}"
    at = away(info.at or now, now)
    return f"due {at}" if info.state == "due" else f"running, lease ends {at}"


@click.command()
@of_one_inbox
def stats(inbox: Inbox, out: Output) -> None:
    """Show counters and depths of the inbox.

    Accepted messages = the indented ends + pending. In JSON, lateness counts batches by the upper bound in milliseconds
    of claim minus due time, batch_size by that in messages; "more" is above the last bound.
    """
    found = inbox.stats()
    if out.as_json:
        out.json(found)
        return
    oldest = ""
    if found.oldest_due_at is not None:
        oldest = f", the first {away(found.oldest_due_at, clock(inbox.open_store()))}"
    said: dict[str, object] = {"accepted": found.accepted}
    said |= {f"  {end}": getattr(found, end) for end in (*ENDS, "pending")}
    said |= {
        "sessions due": f"{found.due}{oldest}",
        "sessions running": found.running,
        "sessions stopped": found.stopped,
        "kicks on their way": found.kicks,
        "dead letters": found.dead_letters,
        "lateness": within(found.lateness, lambda bound: duration(float(bound))),
        "messages a batch": within(found.batch_size, str),
    }
    rare = ("ids_evicted", "dead_evicted", "corrupt_evicted", "newer")
    said |= {name: getattr(found, name) for name in rare if getattr(found, name)}
    facts(said)


def within(histogram: Mapping[str, int], say: Callable[[str], str]) -> str:
    """Below which bounds half of the batches, and nearly all, have been."""
    total = sum(histogram.values())
    if not total:
        return "no batch yet"
    half, nearly_all = bound_of(histogram, 0.5 * total), bound_of(histogram, 0.99 * total)
    return f"half {at_most(half, say)}, 99 % {at_most(nearly_all, say)}, of {total} batches"


def bound_of(histogram: Mapping[str, int], least: float) -> str:
    """The first bucket up to which at least so many batches are counted."""
    sums = accumulate(histogram.values())
    return next(bound for bound, counted in zip(histogram, sums, strict=True) if counted >= least)


def at_most(bound: str, say: Callable[[str], str]) -> str:
    """A bucket for people."""
    return "above the last bound" if bound == "more" else f"up to {say(bound)}"


@click.command()
@click.argument("session")
@click.option(
    "--first", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Skip so many messages."
)
@MOST
@click.option("--whole", is_flag=True, help="Do not shorten bodies.")
@of_one_inbox
def peek(inbox: Inbox, out: Output, session: str, first: int, most: int, whole: bool) -> None:
    """Read SESSION without changing it.

    Exits with 1 when it has none. Jump commands are no messages of their session: "sessions" lists them.
    """
    view = inbox.peek(session, first, first + most - 1)
    if view is None:
        out.nothing(None, f"session {session} has no messages")
    if out.as_json:
        out.json(view)
        return
    now = clock(inbox.open_store())
    facts({"session": session, "state": state_of_view(view, now), "waiting": view.waiting})
    if view.unreadable:
        facts({"unreadable": f"{view.unreadable} cannot be read; a worker will set them aside"})
    columns: Columns = {
        "MESSAGE": lambda message: message.id,
        "CAME": lambda message: away(message.at, now),
        "PLACE": lambda message: "waiting" if message in view.messages else "open batch",
        "BODY": lambda message: body_text(message.body, whole),
    }
    click.echo()
    messages = [*view.batch, *view.messages]
    table(list(columns), [[cell(message) for cell in columns.values()] for message in messages])


def state_of_view(view: SessionView, now: int) -> str:
    """The state of a session with its time, for people."""
    batch = f"; batch {view.batch_id} is on attempt {view.attempt}" if view.batch_id else ""
    if view.lease_end is not None:
        return f"running, lease ends {away(view.lease_end, now)}{batch}"
    if view.stopped:
        until = "until resume" if view.stopped_until is None else f", resumes {away(view.stopped_until, now)}"
        return f"stopped {until}".replace(" ,", ",") + batch
    return f"due {away(view.due_at or now, now)}{batch}"
