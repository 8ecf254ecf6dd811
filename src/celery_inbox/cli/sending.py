"""Commands about single messages: ``send``, ``touch``, ``replace``, ``remove``."""

from __future__ import annotations

import json
from typing import Any

import click

from celery_inbox.cli.output import Output, shown
from celery_inbox.cli.selection import of_one_inbox
from celery_inbox.cli.times import away
from celery_inbox.inbox import Inbox
from celery_inbox.store.server import clock

AS_JSON = click.option("--body-json", is_flag=True, help="BODY is JSON, not text.")


def body_of(said: str, is_json: bool) -> Any:
    """What BODY means.

    Raises:
        BadParameter: It should be JSON.
    """
    try:
        return json.loads(said) if is_json else said
    except ValueError as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="BODY") from error


def headers_of(said: tuple[str, ...]) -> dict[str, str] | None:
    """What ``--header`` means.

    Raises:
        BadParameter: One has no name.
    """
    parted = [each.partition("=") for each in said]
    for name, equals, _ in parted:
        if not name or not equals:
            raise click.BadParameter("say NAME=VALUE", param_hint="--header")
    return {name: value for name, _, value in parted} or None


@click.command()
@click.argument("session")
@click.argument("body")
@AS_JSON
@click.option("--id", help="Id of the message: accepted once per session within dedup_ttl. Without it: a new one.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Travels with the body; repeatable.")
@click.option("--inactive", is_flag=True, help="Do not push the debounce back; ignored outside the active window.")
@click.option("--flush", is_flag=True, help="Make this message and those before it due now.")
@click.option("--command", "is_command", is_flag=True, help="Send a command, whatever is_command says.")
@of_one_inbox
def send(
    inbox: Inbox,
    out: Output,
    session: str,
    body: str,
    body_json: bool,
    id: str | None,
    headers: tuple[str, ...],
    inactive: bool,
    flush: bool,
    is_command: bool,
) -> None:
    """Store the message BODY in SESSION.

    Prints what became of it: accepted; duplicate, its id was stored before; ignored, it came outside the active window;
    command. Exits with 0 in each case, and with 1 when the session is full.
    """
    content, given = body_of(body, body_json), headers_of(headers)
    if is_command and (inactive or flush):
        raise click.UsageError("--command stands alone: a command is neither inactive nor flushed")
    if is_command:
        receipt = inbox.send_command(session, content, id=id, headers=given)
    else:
        receipt = inbox.send(session, content, id=id, headers=given, active=not inactive, flush=flush)
    due = "" if receipt.due_at is None else f", due {away(receipt.due_at, clock(inbox.open_store()))}"
    sentence = f"{receipt.status}: {shown(receipt.id)}; {receipt.waiting} waiting{due}"
    out.outcome({"session": session, **receipt._asdict()}, sentence)


@click.command()
@click.argument("session")
@of_one_inbox
def touch(inbox: Inbox, out: Output, session: str) -> None:
    """Push the debounce of SESSION back.

    As a message would, but without one: somebody is typing. Exits with 1 when the session does not wait for its
    debounce.
    """
    due_at = inbox.touch(session)
    record = {"session": session, "due_at": due_at}
    if due_at is None:
        out.nothing(record, f"session {shown(session)} does not wait for its debounce")
    out.outcome(record, f"session {shown(session)} is due {away(due_at, clock(inbox.open_store()))}")


@click.command()
@click.argument("session")
@click.argument("id")
@click.argument("body")
@AS_JSON
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Instead of the old ones; repeatable.")
@of_one_inbox
def replace(
    inbox: Inbox, out: Output, session: str, id: str, body: str, body_json: bool, headers: tuple[str, ...]
) -> None:
    """Give a waiting message another BODY.

    Its place in SESSION stays. Exits with 1 when it is too late: it runs, was handled, or never came.
    """
    replaced = inbox.replace(session, id, body_of(body, body_json), headers=headers_of(headers))
    of_message(out, session, id, "replaced", replaced)


@click.command()
@click.argument("session")
@click.argument("id")
@of_one_inbox
def remove(inbox: Inbox, out: Output, session: str, id: str) -> None:
    """Take one waiting message out of SESSION.

    Exits with 1 when it is too late: it runs, was handled, or never came.
    """
    of_message(out, session, id, "removed", inbox.remove(session, id))


def of_message(out: Output, session: str, id: str, what: str, done: bool) -> None:
    """Tell whether a message was still waiting."""
    record = {"session": session, "id": id, what: done}
    if not done:
        out.nothing(record, f"no message {shown(id)} waits in session {shown(session)}")
    out.outcome(record, f"{what}: {shown(id)}")
