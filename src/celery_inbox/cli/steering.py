"""Commands that steer a session: ``flush``, ``pause``, ``resume``, ``cancel``, ``drop``, ``forget``."""

from __future__ import annotations

import click

from celery_inbox.cli.output import Columns, Output, body_text, shown
from celery_inbox.cli.selection import of_one_inbox
from celery_inbox.cli.times import Duration, duration
from celery_inbox.inbox import Inbox

YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def ask(question: str, yes: bool) -> None:
    """Go on only if the user wants it."""
    if not yes:
        click.confirm(question, abort=True, err=True)


@click.command()
@click.argument("session")
@of_one_inbox
def flush(inbox: Inbox, out: Output, session: str) -> None:
    """Make what waits in SESSION due now.

    A batch that waits for its next attempt is tried now. Exits with 1 when nothing waits.
    """
    flushed = inbox.flush(session)
    record = {"session": session, "flushed": flushed}
    if not flushed:
        out.nothing(record, f"nothing waits in session {shown(session)}")
    out.outcome(record, f"session {shown(session)}: messages due now: {flushed}")


@click.command()
@click.argument("session")
@click.option("--for", "for_", type=Duration(), help="Seconds, or with a unit: 90, 15m, 2h. Without it: until resume.")
@of_one_inbox
def pause(inbox: Inbox, out: Output, session: str, for_: float | None) -> None:
    """Stop SESSION for a while or until resume.

    Messages collect, nothing runs; a run that is going may finish. Works on idle sessions too.
    """
    inbox.pause(session, for_)
    until = "until resume" if for_ is None else f"for {duration(for_ * 1000)}"
    out.outcome({"session": session, "paused": True, "for": for_}, f"session {shown(session)} is stopped {until}")


@click.command()
@click.argument("session")
@of_one_inbox
def resume(inbox: Inbox, out: Output, session: str) -> None:
    """Let a stopped SESSION go on.

    One that was paused, or held after its last attempt: a held batch gets all its attempts again. Exits with 1 when it
    was not stopped.
    """
    resumed = inbox.resume(session)
    record = {"session": session, "resumed": resumed}
    if not resumed:
        out.nothing(record, f"session {shown(session)} was not stopped")
    out.outcome(record, f"session {shown(session)} goes on")


@click.command()
@click.argument("session")
@of_one_inbox
def cancel(inbox: Inbox, out: Output, session: str) -> None:
    """Cancel the open batch of SESSION.

    Its handler learns of it within a second; one that waits for its next attempt is settled. What waits behind it is
    untouched. Exits with 1 when no batch is open.
    """
    cancelled = inbox.cancel(session)
    record = {"session": session, "cancelled": cancelled}
    if not cancelled:
        out.nothing(record, f"no batch of session {shown(session)} is open")
    out.outcome(record, f"the open batch of session {shown(session)} is cancelled")


@click.command()
@click.argument("session")
@YES
@of_one_inbox
def drop(inbox: Inbox, out: Output, session: str, yes: bool) -> None:
    """Take out and print what waits in SESSION.

    A batch that waits for its next attempt too; a running one goes on. Exits with 1 when nothing waits.
    """
    ask(f"Drop what waits in session {shown(session)} of {inbox}?", yes)
    dropped = inbox.drop(session)
    if not dropped:
        out.nothing([], f"nothing waits in session {shown(session)}")
    columns: Columns = {
        "DROPPED": lambda message: message.id,
        "BODY": lambda message: body_text(message.body, whole=True),
    }
    out.list(dropped, columns, empty="")


@click.command()
@click.argument("session")
@YES
@of_one_inbox
def forget(inbox: Inbox, out: Output, session: str, yes: bool) -> None:
    """Delete everything about SESSION.

    Messages, commands, a running batch, dead letters, remembered ids, marks. Prints how many messages, and how many
    messages in dead letters, were deleted. Exits with 1 when there were none.
    """
    ask(f"Delete everything about session {shown(session)} of {inbox}, dead letters too?", yes)
    forgotten = inbox.forget(session)
    record = {"session": session, **forgotten}
    if not any(forgotten.values()):
        out.nothing(record, f"session {shown(session)} had no messages and no dead letters")
    sentence = f"messages deleted: {forgotten['messages']}, messages in dead letters deleted: {forgotten['dead']}"
    out.outcome(record, f"session {shown(session)}: {sentence}")
