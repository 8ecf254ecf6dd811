"""How a command ends: exit codes, one-line errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from celery_inbox.bound import BoundInbox
from celery_inbox.element import CorruptElement, NewerElement
from celery_inbox.errors import InboxError, InboxFull, Repartitioning, StorageFull, StorageUnavailable
from celery_inbox.store.place import without_password

NOTHING_TO_DO = 1
UNUSABLE = 2
REDIS_AWAY = 3


class Failed(click.ClickException):
    """Ends a command with one line on stderr."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code  # type: ignore[misc]


def end(exit_code: int) -> NoReturn:
    """End the command here."""
    raise click.exceptions.Exit(exit_code)


@contextmanager
def told_in_one_line(inbox: BoundInbox) -> Iterator[None]:
    """Turn our errors into a line and an exit code."""
    try:
        yield
    except StorageUnavailable as error:
        remedy = (
            ""
            if isinstance(error, StorageFull | Repartitioning)
            else f"; is {address_of(inbox)} the right server, and does it run?"
        )
        again = f" To send again at no risk: --id {error.id}" if error.id else ""
        raise Failed(f"{str(error).rstrip('.')}{remedy}{again}", REDIS_AWAY) from error
    except InboxFull as error:
        raise Failed(str(error), NOTHING_TO_DO) from error
    except InboxError as error:
        raise Failed(str(error), UNUSABLE) from error
    except (CorruptElement, NewerElement) as error:
        raise Failed(f"a message of this session cannot be read: {error}; a worker sets it aside", UNUSABLE) from error


def address_of(inbox: BoundInbox) -> str:
    """Where the inbox looks for Redis, without the password."""
    return without_password(inbox.settings.redis_url or inbox.app.conf.broker_url)
