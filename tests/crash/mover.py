"""The workers' app in a process that kills itself before its n-th call to Redis, if ``KILL_AT`` says so."""

import os
import signal
from collections.abc import Sequence
from itertools import count
from typing import Any
from unittest import mock

from celery_inbox.store.wire import Wire
from crash.app import app

__all__ = ["app"]

exchange = Wire.exchange
calls = count(1)


def mortal(self: Wire, commands: Sequence[bytes]) -> list[Any]:
    if next(calls) == int(os.environ.get("KILL_AT", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    return exchange(self, commands)


mock.patch.object(Wire, "exchange", mortal).start()
