"""``celery -A proj inbox …``: what people do to inboxes from a shell."""

from __future__ import annotations

from importlib import import_module

import click
from click_didyoumean import DYMGroup  # type: ignore[import-untyped]

from celery_inbox.cli import worker_option

__all__ = ["inbox"]

COMMANDS = {
    "checking": ("check",),
    "health": ("health",),
    "reading": ("sessions", "stats", "peek"),
    "queueing": ("queues",),
    "sending": ("send", "touch", "replace", "remove"),
    "steering": ("flush", "pause", "resume", "cancel", "drop", "forget"),
    "dead_letters": ("dead",),
    "repartitioning": ("repartition",),
}
"""Commands by the module that has them."""

worker_option.offer()


class LateGroup(DYMGroup):  # type: ignore[misc]
    """Imports a command when it is asked for: every ``celery`` command imports this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(name for names in COMMANDS.values() for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = next((module for module, names in COMMANDS.items() if cmd_name in names), None)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), cmd_name)
        return command


@click.group(cls=LateGroup)
def inbox() -> None:
    """Look after inboxes: their sessions, dead letters, queues and health.

    \b
    celery -A proj inbox check            is everything there that an inbox needs?
    celery -A proj inbox health           does this worker consume?
    celery -A proj inbox sessions         what waits, runs or is stopped?
    celery -A proj inbox peek SESSION     which messages?

    With several inboxes in the app say --inbox NAME. --json prints JSON and nothing else on stdout; in it names that
    end in _at are Unix milliseconds by the clock of Redis. A session that begins with - goes after --, as in
    "peek -- -100123".

    \b
    Exit codes:
      0  done, or healthy
      1  there was nothing to do, or check found an error, or you said no
      2  the call, a setting or the app cannot work as it is
      3  Redis is away or full, or sessions are being moved: try again
    """
