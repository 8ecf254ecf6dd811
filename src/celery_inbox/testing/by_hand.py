"""Batches and commands for handlers that a test calls itself, without an inbox."""

from __future__ import annotations

from typing import Any, NoReturn

from celery_inbox.message import Batch, Command, Message

KILLED = 9 - 256
"""How Celery's pool leaves a process that was killed: the signal minus 256."""


def batch(session: str, *bodies: Any, id: str = "batch", attempt: int = 1) -> Batch:
    """Make a batch: ``reply(batch("ada", "hi", "are you there?"))``.

    Args:
        session: Its name.
        *bodies: One message each, with the ids ``"1"``, ``"2"`` and so on, arrived one ms apart.
        id: Of the batch.
        attempt: 1 for the first try.
    """
    messages = [Message(str(number), body, at=number) for number, body in enumerate(bodies, 1)]
    return Batch(session, messages, id=id, attempt=attempt)


def command(session: str, body: Any, *, id: str = "1", attempt: int = 1) -> Command:
    """Make a command: ``obey(command("ada", ",help"))``; arguments as for ``batch``."""
    return Command(session, Message(id, body, at=1), attempt=attempt)


def crash() -> NoReturn:
    """End a handler as SIGKILL would: nothing is settled, and the lease runs out after ``lease`` seconds."""
    raise SystemExit(KILLED)
