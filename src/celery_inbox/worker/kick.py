"""Which messages of an inbox's queues are kicks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from celery.exceptions import InvalidTaskError
from kombu.exceptions import ContentDisallowed

from celery_inbox.store.keys import COMMAND_PARTITION

if TYPE_CHECKING:
    from celery_inbox.worker.task import HandlerTask

PARTITION = re.compile(rf"[0-9]{{1,4}}|{COMMAND_PARTITION}")


def kicks_only(task: HandlerTask, take: Any) -> Any:
    """Wrap what takes a handler's messages off the broker, so that it gets kicks only.

    Celery takes every message with a known task name for one of its own. What it then cannot unpack ends its consumer
    and comes back, for it was not acknowledged; refused here it is logged and rejected.
    """

    def take_kick(message: Any, body: Any, *rest: Any, **options: Any) -> Any:
        fault = fault_of(task, message, body)
        if fault is not None:
            raise InvalidTaskError(f"no kick of {task.inbox}: {fault}")
        return take(message, body, *rest, **options)

    return take_kick


def fault_of(task: HandlerTask, message: Any, body: Any) -> str | None:
    """Why a message is no kick; None when it is one.

    Raises:
        ContentDisallowed: It is of a content type that this worker does not read.
    """
    # Celery hands over the body of its task protocol 1 only; there, id and arguments lie in it.
    about = message.headers if body is None else body
    if not isinstance(about, dict) or not isinstance(about.get("id"), str):
        return "it has no id"
    if not are_limits(about.get("timelimit")):
        return "its time limits are no numbers"
    try:
        payload = message.payload if body is None else [body.get("args"), body.get("kwargs"), {}]
    except ContentDisallowed:
        raise
    except Exception as error:
        return f"it cannot be read ({type(error).__name__})"
    match payload:
        case [[task.inbox.name, str(partition), task.kind], dict(), dict()] if PARTITION.fullmatch(partition):
            return None
    return "it does not name inbox, partition and kind"


def are_limits(said: Any) -> bool:
    """Are these hard and soft time limit, or nothing?"""
    if said is None:
        return True
    return (
        isinstance(said, (list, tuple))
        and len(said) == 2
        and all(isinstance(each, (int, float, type(None))) for each in said)
    )
