"""The only wait in the tests: poll a condition until it holds."""

import time
from collections.abc import Callable

POLL_INTERVAL = 0.01  # seconds


def wait_until(predicate: Callable[[], object], *, description: str, timeout: float = 10.0) -> None:
    """Return as soon as a condition holds.

    Args:
        predicate: Called until it returns something true.
        description: What is waited for; as it stands in the error.
        timeout: Seconds.

    Raises:
        AssertionError: Time is up. It names what was waited for.
    """
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {timeout:g} s: {description}")
        time.sleep(POLL_INTERVAL)
