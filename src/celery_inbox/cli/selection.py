"""Which inbox a command is about."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import click

from celery_inbox.cli.endings import UNUSABLE, Failed, told_in_one_line
from celery_inbox.cli.output import Output
from celery_inbox.errors import InboxError
from celery_inbox.inbox import Inbox
from celery_inbox.store import server
from celery_inbox.store.connection import repartitioning
from celery_inbox.worker.registry import inboxes_of

NAME = click.option("--inbox", "name", metavar="NAME", help="Which inbox; needed when the app has several.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def of_one_inbox(function: Callable[..., None]) -> Callable[..., None]:
    """Call a command with the inbox it is about, with what prints its outcome, and with its own arguments."""
    return calling(function, verify)


def of_any_layout(function: Callable[..., None]) -> Callable[..., None]:
    """Call a command likewise, whatever number of partitions is set in this process."""
    return calling(function, verify_redis)


def calling(function: Callable[..., None], verifying: Callable[[Inbox], None]) -> Callable[..., None]:
    @NAME
    @JSON
    @click.pass_context
    def call(context: click.Context, /, name: str | None, as_json: bool, **given: Any) -> None:
        inbox = one_of(inboxes(context.obj.app), name)
        with told_in_one_line(inbox):
            verifying(inbox)
            function(inbox, Output(as_json), **given)

    return update_wrapper(call, function)


def inboxes(app: Any) -> dict[str, Inbox]:
    """All inboxes of an app, once its task modules are imported.

    Raises:
        Failed: It has none, or cannot be imported.
    """
    try:
        app.loader.import_default_modules()
        app.finalize()
    except InboxError as error:
        raise Failed(str(error), UNUSABLE) from error
    except Exception as error:
        raise Failed(f"the app's modules cannot be imported: {type(error).__name__}: {error}", UNUSABLE) from error
    found: Any = inboxes_of(app)
    if not found:
        raise Failed(
            f"the app {app.main or 'without a name'!r} has no Inbox: name the app as in celery -A proj inbox …, "
            "and have it import the module with the Inbox (app.conf.imports, autodiscover_tasks)",
            UNUSABLE,
        )
    return dict(found)


def one_of(found: dict[str, Inbox], name: str | None) -> Inbox:
    """The inbox of that name; without a name the only one there is.

    Raises:
        Failed: There is no such inbox, or there are several.
    """
    names = ", ".join(sorted(found))
    if name is None:
        if len(found) > 1:
            raise Failed(f"the app has several inboxes, say --inbox with one of: {names}", UNUSABLE)
        return next(iter(found.values()))
    if name not in found:
        raise Failed(f"the app has no inbox {name!r}; it has: {names}", UNUSABLE)
    return found[name]


def verify(inbox: Inbox) -> None:
    """Look at the sessions that the workers see, or not at all.

    Raises:
        Failed: This process would look elsewhere.
        Repartitioning: Sessions are on their way.
    """
    verify_redis(inbox)
    if "moving" in server.recorded(inbox.open_store()):
        raise repartitioning()
    for disagreement in disagreements(inbox):
        raise Failed(disagreement, UNUSABLE)


def verify_redis(inbox: Inbox) -> None:
    """Look into Redis only if sessions are there.

    Raises:
        Failed: They are not.
    """
    if inbox.eager:
        raise Failed(
            "task_always_eager is set: sends are handled in place and Redis holds nothing; unset it to look there",
            UNUSABLE,
        )


def disagreements(inbox: Inbox) -> list[str]:
    """Where the settings differ from what all processes of the inbox have agreed on."""
    recorded = server.recorded(inbox.open_store())
    return [
        f"{inbox} is set to {name}={getattr(inbox.settings, name)}, Redis has recorded {value}: set inbox_{name} so"
        f"{or_repartition(inbox, value) if name == 'partitions' else ''}"
        for name, value in recorded.items()
        if str(getattr(inbox.settings, name, value)) != value
    ]


def or_repartition(inbox: Inbox, recorded: str) -> str:
    """What else can be done about another number of partitions."""
    command = f"celery -A proj inbox repartition {recorded} {inbox.settings.partitions}"
    return f", or stop the workers and run: {command}"
