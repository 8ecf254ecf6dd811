"""``celery -A proj inbox …``, and the option ``--inbox`` of ``celery worker``."""

from __future__ import annotations

import click
from celery.bin.base import CeleryOption
from celery.bin.worker import worker

OPTION = CeleryOption(
    ["--inbox"],
    multiple=True,
    metavar="PARTITIONS",
    help_group="Inbox Options",
    help="Serve inboxes: all, command, numbers such as 0-3,7, or of one inbox as in chat=0-3. "
    "Without -Q nothing else is consumed. Also as environment variable CELERY_INBOX.",
)

if not any("--inbox" in option.opts for option in worker.params):
    # Celery reads an app's own worker options before it imports the app's tasks, where an Inbox may live.
    worker.params.append(OPTION)


@click.group()
def inbox() -> None:
    """Look after inboxes."""
