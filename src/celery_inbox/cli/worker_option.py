"""The option ``--inbox`` of ``celery worker``."""

from __future__ import annotations

import os
from typing import Any

from celery.bin.base import CeleryOption
from celery.bin.worker import worker
from celery.signals import celeryd_init

from celery_inbox.worker.bootstep import ENVIRONMENT, InboxStep
from celery_inbox.worker.partitions import AUTO

OPTION = CeleryOption(
    ["--inbox"],
    multiple=True,
    is_flag=False,
    flag_value=AUTO,
    metavar="[PARTITIONS]",
    help_group="Inbox Options",
    help="Serve inboxes: auto (also when nothing is said) takes an even share of the partitions, beside all other "
    "workers that say so; all, command, numbers such as 0-3,7; of one inbox as in chat=auto. "
    "Without -Q nothing else is consumed. Also as environment variable CELERY_INBOX.",
)


def offer() -> None:
    """Add the option; Celery reads an app's own ones before it imports the app's tasks, where an Inbox may live."""
    if not any("--inbox" in option.opts for option in worker.params):
        worker.params.append(OPTION)
    celeryd_init.connect(take_step, weak=False, dispatch_uid="celery_inbox.cli")


def take_step(instance: Any, options: dict[str, Any], **_: Any) -> None:
    """Have the words read even where no Inbox brings its step along: a worker that serves nothing must say so."""
    if options.get("inbox") or os.environ.get(ENVIRONMENT):
        instance.app.steps["worker"].add(InboxStep)
