"""Send the lines of a log as fast as they were written, or faster."""

import threading
import time
from collections.abc import Callable, Sequence

from celery_inbox import InboxError, Receipt
from celery_inbox.testing import History
from demo.irc import Line

Send = Callable[[str, str], Receipt]


class Replay(threading.Thread):
    """A thread that sends each line when it is its turn.

    Args:
        lines: In their order.
        speed: Seconds of the log that pass in one second.
        send: Called with nick and text.
        history: Where each send is recorded.
    """

    def __init__(self, lines: Sequence[Line], speed: float, send: Send, history: History) -> None:
        super().__init__(name="replay", daemon=True)
        self.lines = lines
        self.speed = speed
        self.send = send
        self.history = history
        self.texts: dict[str, str] = {}
        """What was said, by message id."""
        self.clock = lines[0].clock
        """What time it is in the log."""
        self.lag = 0.0
        """The furthest that a send was behind its turn, seconds."""
        self.error: InboxError | None = None
        """Why the replay ended before the log did."""
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Send every line, until one is refused."""
        start = time.monotonic()
        for line in self.lines:
            turn = start + line.second / self.speed
            if self._stop_asked.wait(max(turn - time.monotonic(), 0)):
                return
            self.clock = line.clock
            self.lag = max(self.lag, time.monotonic() - turn)
            try:
                receipt = self.send(line.nick, line.text)
            except InboxError as error:
                self.error = error
                return
            self.texts[receipt.id] = line.text
            self.history.sent(line.nick, receipt)

    def stop(self) -> None:
        """End the replay before its next line."""
        self._stop_asked.set()
        self.join()
