"""Run coroutines on one long-lived event loop thread per process, so that module-level async clients stay usable."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any

_loop: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()


def _start_anew() -> None:
    """A forked pool process has no thread of its parent's."""
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_start_anew)


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="inbox-loop", daemon=True).start()
        return _loop


async def _guard(coroutine: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Carry out SystemExit and KeyboardInterrupt as values: raised inside a task they would end the loop for all."""
    try:
        await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        return error
    return None


def run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end and raise what it raises.

    An exception in the waiting thread (a soft time limit) cancels the coroutine and waits until it has ended.
    """
    future = asyncio.run_coroutine_threadsafe(_guard(coroutine), _running_loop())
    try:
        raised = future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            concurrent.futures.wait([future])
        raise
    if raised is not None:
        raise raised
