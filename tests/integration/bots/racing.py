"""A bot that is sent its session's next message around the very moment its handler ends."""

import heapq
import itertools
import os
import random
import threading
import time
from collections.abc import Callable

from celery import Celery

from celery_inbox import Batch, Inbox
from celery_inbox.testing import History

imports = None

app = Celery("celery_test_app")
config = None

if config:
    app.config_from_object(config)

inbox = Inbox(app, "chat")
history = History(os.environ["HISTORY"])
HANDLER = 0.006  # seconds
OFFSET = 0.005  # seconds around the handler's end


class Clockwork(threading.Thread):
    """Makes each call at its time, which takes aim: calls that took effect late teach it to begin earlier."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._lag = 0.0  # seconds
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self.start()

    def at(self, instant: float, call: Callable[[], object]) -> None:
        """Have a call made at an instant of the monotonic clock."""
        with self._changed:
            heapq.heappush(self._calls, (instant, next(self._number), call))
            self._changed.notify()

    def run(self) -> None:
        while True:
            instant, call = self._next()
            call()
            self._lag += (time.monotonic() - instant - self._lag) / 20

    def _next(self) -> tuple[float, Callable[[], object]]:
        with self._changed:
            while not self._calls or self._calls[0][0] - self._lag > time.monotonic():
                self._changed.wait(self._calls[0][0] - self._lag - time.monotonic() if self._calls else None)
            instant, _, call = heapq.heappop(self._calls)
            return instant, call


clockwork = Clockwork()


def send(session: str, left: int) -> None:
    """Send the next message of a race; nobody sends another one if it is stranded."""
    history.sent(session, inbox.send(session, left))


@inbox.handler(name="bot.reply")
def reply(batch: Batch) -> None:
    """Run for a moment; the next message comes up to 5 ms before or after the end."""
    with history.run(batch):
        end = time.monotonic() + HANDLER
        left = batch[-1].body - 1
        if left:
            clockwork.at(end + random.uniform(-OFFSET, OFFSET), lambda: send(batch.session, left))
        time.sleep(max(end - time.monotonic(), 0))
