"""Run coroutines on one long-lived event loop thread per process, so that module-level async clients stay usable."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
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


def is_here() -> bool:
    """Does this code run on that loop, that is, in an async handler?"""
    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


def run(coroutine: Coroutine[Any, Any, Any], when_cancelled: Callable[[Callable[[], object]], object]) -> None:
    """Run a coroutine to its end and raise what it raises.

    Args:
        coroutine: The handler's.
        when_cancelled: Called with a callable that cancels the coroutine at its next await, from any thread.

    Raises:
        CancelledError: It was cancelled. An exception in the waiting thread (a soft time limit) cancels
            it too, and is raised once it has ended.
    """
    loop = _running_loop()
    ended: concurrent.futures.Future[BaseException | None] = concurrent.futures.Future()
    task: asyncio.Task[BaseException | None] | None = None

    async def guarded() -> BaseException | None:
        """Carry out as values what would end the loop for all if a task raised it."""
        try:
            await coroutine
        except (SystemExit, KeyboardInterrupt) as error:
            return error
        return None

    def start() -> None:
        nonlocal task
        task = loop.create_task(guarded())
        task.add_done_callback(tell)

    def tell(task: asyncio.Task[BaseException | None]) -> None:
        coroutine.close()
        error = CancelledError("the handler was cancelled") if task.cancelled() else task.exception()
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(task.result())

    def cancel() -> None:
        loop.call_soon_threadsafe(lambda: task is not None and task.cancel())

    loop.call_soon_threadsafe(start)
    when_cancelled(cancel)
    try:
        raised = ended.result()
    except BaseException:
        if not ended.done():
            cancel()
            concurrent.futures.wait([ended])
        raise
    if raised is not None:
        raise raised
