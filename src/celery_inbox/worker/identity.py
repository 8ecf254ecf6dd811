"""Names of this worker and of single calls."""

from __future__ import annotations

import os
from itertools import count

ENVIRONMENT = "CELERY_INBOX_WORKER"

_calls = count()
_process = (0, "")


def take_identity(hostname: str) -> str:
    """Name this worker instance; its pool processes inherit the name."""
    os.environ[ENVIRONMENT] = f"{hostname}/{os.urandom(4).hex()}"
    return os.environ[ENVIRONMENT]


def worker_identity() -> str:
    """The worker instance that this process belongs to; empty outside a worker."""
    return os.environ.get(ENVIRONMENT, "")


def token() -> str:
    """Name one call, so that it is recognised when it is sent twice."""
    global _process
    if _process[0] != os.getpid():
        _process = (os.getpid(), os.urandom(8).hex())
    return f"{_process[1]}{next(_calls):x}"
