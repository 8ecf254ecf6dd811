"""What the end of a handler means: Celery's own words, and every other exception."""

from __future__ import annotations

import random
import time
import traceback
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry

from celery_inbox.errors import ConfigurationError

MAX_TRACEBACK = 8_000
"""Characters of a traceback that a dead letter keeps."""

REFUSED = {
    "max_retries": "say max_attempts",
    "rate_limit": "say min_interval among the inbox's settings",
    "acks_late": "kicks are hints and acknowledged early; Redis keeps the batch until it was handled",
    "ignore_result": "a kick has no result",
    "typing": "a handler takes one batch",
    "default_retry_delay": "say backoff",
    "queue": "an inbox has queues of its own, one per partition",
    "exchange": "an inbox has queues of its own, one per partition",
    "routing_key": "an inbox has queues of its own, one per partition",
    "expires": "a late kick is harmless",
}

Verdict = Literal["ack", "nack", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a handler's failures are treated."""

    max_attempts: int = 5
    """Tries of a batch before it is a dead letter, 1 to 1000."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubles with each, with jitter."""
    backoff_cap: float = 600.0
    """Longest pause between attempts, seconds."""
    on_exhausted: str = "park"
    """What becomes of a batch after its last attempt. ``park``: a dead letter. ``hold``: the session stops until it is
    resumed or dropped. ``isolate``: its messages are tried once more, one by one."""
    on_cancel: str = "ack"
    """What becomes of a cancelled batch. ``ack``: it is settled. ``rejoin``: its messages wait again, and the next
    message joins them."""

    def delay(self, attempt: int, jitter: float | None = None) -> float:
        """Seconds until the next attempt: between half of the doubled backoff and all of it.

        Args:
            attempt: The one that failed.
            jitter: Share of the second half, 0 to 1; None: random.
        """
        longest = min(self.backoff * 2 ** min(attempt - 1, 62), self.backoff_cap)
        return float(longest / 2 + (random.random() if jitter is None else jitter) * longest / 2)


def check_options(options: dict[str, Any]) -> tuple[Policy, dict[str, Any]]:
    """Divide a handler's options into our policy and Celery's task options.

    Raises:
        ConfigurationError: An option has no meaning for a handler, or is out of range.
    """
    for name in options.keys() & REFUSED.keys():
        raise ConfigurationError(f"{name}={options[name]!r} cannot be set on a handler: {REFUSED[name]}")
    if "max_retries" in (options.get("retry_kwargs") or {}):
        raise ConfigurationError(f"retry_kwargs={options['retry_kwargs']!r} cannot be set: say max_attempts")
    names = {field.name for field in fields(Policy)}
    policy = Policy(**{name: value for name, value in options.items() if name in names})
    for name, low, high in (("max_attempts", 1, 1000), ("backoff", 0, 86_400), ("backoff_cap", 0, 86_400)):
        value = getattr(policy, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ConfigurationError(f"{name}={value!r} is not a number from {low} to {high}")
    if type(policy.max_attempts) is not int:
        raise ConfigurationError(f"max_attempts={policy.max_attempts!r} is not a whole number")
    for name, choices in (("on_exhausted", ("park", "hold", "isolate")), ("on_cancel", ("ack", "rejoin"))):
        if getattr(policy, name) not in choices:
            raise ConfigurationError(f"{name}={getattr(policy, name)!r} is none of {', '.join(map(repr, choices))}")
    return policy, {name: value for name, value in options.items() if name not in names}


def verdict(error: BaseException) -> Verdict:
    """Map what a handler raised to a move.

    ``Ignore`` is a handled batch, ``Reject`` a dead one unless it asks for requeue; everything else is tried again.
    """
    if isinstance(error, Ignore):
        return "ack"
    if isinstance(error, Reject) and not error.requeue:
        return "dead"
    return "nack"


def is_put_to_death(error: BaseException) -> bool:
    """Tell whether the pool ended this process by a signal: at a hard time limit, in a cold shutdown.

    Billiard's signal handler leaves with the code ``signal - 256``, whatever the signal is called there.
    """
    return isinstance(error, SystemExit) and isinstance(error.code, int) and -256 < error.code < -191


def asked_delay(error: BaseException) -> float | None:
    """Seconds that a task's ``retry()`` asked for; None when it left the choice to the policy."""
    if not isinstance(error, Retry) or error.when is None:
        return None
    if isinstance(error.when, datetime):
        return max(error.when.timestamp() - time.time(), 0.0)
    return max(float(error.when), 0.0)


def cause(error: BaseException) -> BaseException:
    """The exception behind Celery's words, if there is one."""
    inner = getattr(error, "exc", None) or getattr(error, "reason", None)
    return inner if isinstance(inner, BaseException) else error


def last_failure(error: BaseException) -> BaseException:
    """What Celery takes for a failure after the last attempt: its own words for another try would be none."""
    failure = cause(error)
    if isinstance(failure, Retry) or (isinstance(failure, Reject) and failure.requeue):
        failure = MaxRetriesExceededError(reason_of(error))
    return failure


def reason_of(error: BaseException) -> str:
    """Name an exception with its text, for a dead letter."""
    said = error.reason if isinstance(error, Reject) and isinstance(error.reason, str) else cause(error)
    return storable(f"{name_of(error)}: {text_of(said)}")[:MAX_TRACEBACK]


def text_of(said: object) -> str:
    """What an exception says of itself, unless that raises."""
    try:
        return str(said)
    except Exception as error:
        return f"its __str__ raised {type(error).__name__}"


def traceback_of(error: BaseException) -> str:
    """The end of an exception's traceback, for a dead letter."""
    return storable("".join(traceback.format_exception(error)))[-MAX_TRACEBACK:]


def storable(text: str) -> str:
    """Text as UTF-8 can store it: a file's name, say, may hold lone surrogates."""
    return text.encode(errors="backslashreplace").decode()


def name_of(error: BaseException) -> str:
    """Name an exception without its text, which may hold a message's."""
    return type(cause(error)).__qualname__
