"""The commands ``dead list``, ``dead show``, ``dead redrive``, ``dead purge``."""

from __future__ import annotations

from collections.abc import Callable

import click

from celery_inbox.cli.endings import NOTHING_TO_DO, end
from celery_inbox.cli.output import Columns, Output, body_text, facts, shown, table
from celery_inbox.cli.reading import MOST
from celery_inbox.cli.selection import of_one_inbox
from celery_inbox.cli.steering import YES, ask
from celery_inbox.cli.times import away
from celery_inbox.inbox import Inbox
from celery_inbox.message import DeadLetter
from celery_inbox.store.server import clock

ALL = 10_000_000
"""More dead letters than ``max_dead`` allows."""
SESSION = click.option("--session", metavar="SESSION", help="Only dead letters of this session.")
EVERY = click.option("--all", "every", is_flag=True, help="All of them instead of IDs.")
IDS = click.argument("ids", nargs=-1, metavar="[ID]...")


@click.group()
def dead() -> None:
    """List, redrive, purge dead letters.

    They are batches that were set aside after their last attempt."""


@dead.command("list")
@SESSION
@MOST
@of_one_inbox
def list_(inbox: Inbox, out: Output, session: str | None, most: int) -> None:
    """List dead letters, oldest first.

    Exits with 0 also when there are none. JSON has their messages and tracebacks too.
    """
    letters = inbox.dead_letters(most + 1, session=session)
    now = clock(inbox.open_store())
    columns: Columns = {
        "ID": lambda letter: letter.id,
        "SESSION": lambda letter: letter.session,
        "DIED": lambda letter: away(letter.at, now),
        "ATTEMPTS": lambda letter: letter.attempts,
        "MESSAGES": lambda letter: len(letter.messages),
        "REASON": lambda letter: letter.reason,
    }
    out.list(letters[:most], columns, empty=f"{inbox} has no dead letters")
    if len(letters) > most:
        out.note(f"there are more: say --most with a number above {most}")


@dead.command()
@click.argument("id")
@of_one_inbox
def show(inbox: Inbox, out: Output, id: str) -> None:
    """Print one dead letter.

    Its reason, traceback and messages. Exits with 1 when there is none."""
    letter = next((letter for letter in inbox.dead_letters(ALL) if letter.id == id), None)
    if letter is None:
        out.nothing(None, f"there is no dead letter {shown(id)}")
    if out.as_json:
        out.json(letter)
        return
    facts({"id": id, "session": letter.session, "attempts": letter.attempts, "reason": letter.reason})
    for line in letter.traceback.splitlines():
        click.echo(f"  {shown(line)}")
    table(["MESSAGE", "BODY"], [[message.id, body_text(message.body, whole=True)] for message in letter.messages])


@dead.command()
@IDS
@EVERY
@SESSION
@YES
@of_one_inbox
def redrive(inbox: Inbox, out: Output, ids: tuple[str, ...], every: bool, session: str | None, yes: bool) -> None:
    """Bring dead letters back to their sessions.

    To their end, each as a batch of its own, due now. Say their IDs, or --all; --all asks first. Exits with 1 when one
    is gone or there are none.
    """
    letters, missing = chosen(inbox, ids, every, session)
    if every and letters:
        ask(f"Redrive dead letters of {inbox}: {len(letters)}?", yes)
    settle(out, letters, missing, inbox.redrive, "redriven")


@dead.command()
@IDS
@EVERY
@SESSION
@YES
@of_one_inbox
def purge(inbox: Inbox, out: Output, ids: tuple[str, ...], every: bool, session: str | None, yes: bool) -> None:
    """Delete dead letters for good.

    Say their IDs, or --all; asks first. Exits with 1 when one is gone or there are none.
    """
    letters, missing = chosen(inbox, ids, every, session)
    if letters:
        ask(f"Delete dead letters of {inbox} for good: {len(letters)}?", yes)
    settle(out, letters, missing, inbox.purge, "purged")


def chosen(inbox: Inbox, ids: tuple[str, ...], every: bool, session: str | None) -> tuple[list[DeadLetter], list[str]]:
    """The dead letters that are meant, and the IDs that mean none.

    Raises:
        UsageError: Neither IDs nor ``--all`` was given, or both.
    """
    if bool(ids) == every:
        raise click.UsageError("say the IDs of dead letters (see: dead list), or --all")
    letters = {letter.id: letter for letter in inbox.dead_letters(ALL, session=session)}
    if every:
        return list(letters.values()), []
    return [letters[id] for id in ids if id in letters], [id for id in ids if id not in letters]


def settle(
    out: Output, letters: list[DeadLetter], missing: list[str], move: Callable[[DeadLetter], int], what: str
) -> None:
    """Move dead letters one by one, tell how many messages each had, and end with what is missing."""
    counts = {letter.id: move(letter) for letter in letters}
    missing += [id for id, count in counts.items() if not count]
    done = [{"id": letter.id, "session": letter.session, "messages": counts[letter.id]} for letter in letters]
    columns: Columns = {
        what.upper(): lambda record: record["id"],
        "SESSION": lambda record: record["session"],
        "MESSAGES": lambda record: record["messages"],
    }
    out.list([record for record in done if record["messages"]], columns, empty=f"no dead letter was {what}")
    for id in missing:
        out.note(f"there is no dead letter {shown(id)}")
    if missing or not done:
        end(NOTHING_TO_DO)
