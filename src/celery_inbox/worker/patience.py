"""Wait for Redis with jittered backoff."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from celery.exceptions import SoftTimeLimitExceeded

from celery_inbox.errors import StorageUnavailable

T = TypeVar("T")

FIRST = 0.05
LONGEST = 2.0


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, half of it random."""
    longest: float = min(FIRST * 2 ** min(failures, 10), LONGEST)
    return longest / 2 + random.random() * longest / 2


def until_answered(call: Callable[[], T], seconds: float = float("inf")) -> T:
    """Repeat a call that is safe to repeat until Redis answers.

    Args:
        call: A move that recognises when it is sent twice.
        seconds: Give up after so long.

    Raises:
        StorageUnavailable: Redis did not answer for that long, or its answer would be an error each time.
    """
    ends_at = time.monotonic() + seconds
    failures = 0
    while True:
        try:
            return call()
        except SoftTimeLimitExceeded:
            # The limit is for the handler; an ack that it interrupts would be a batch handled twice.
            continue
        except StorageUnavailable as error:
            failures += 1
            wait = pause(failures)
            if error.is_final or time.monotonic() + wait > ends_at:
                raise
            time.sleep(wait)
