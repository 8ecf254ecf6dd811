"""The people of one side: a thread that lets many conversations speak in turn, each in its own order."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Iterator
from random import Random

from soak.conversations import Conversation
from soak.ground import Side

AT_ONCE = 8
"""Conversations that go on at the same time."""


class Load:
    """Starts a conversation for each that ends, until it is stopped; then the last ones are let finish."""

    def __init__(self, side: Side, seed: str) -> None:
        self.side = side
        self.begun: deque[Conversation] = deque()
        """Conversations that the judge has not seen yet."""
        self.error: BaseException | None = None
        self._dice = Random(f"{seed} load of {side.name}")
        self._ending = threading.Event()
        self._number = 0
        self._thread = threading.Thread(target=self._run, name=f"load of {side.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Begin no more conversations; whether the last one has ended."""
        self._ending.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._speak()
        except BaseException as error:
            self.error = error

    def _speak(self) -> None:
        turns: list[tuple[float, int, Conversation, Iterator[float]]] = []
        for _ in range(AT_ONCE):
            heapq.heappush(turns, self._begin(self._dice.uniform(0, 3)))
        while turns:
            at, number, conversation, talk = heapq.heappop(turns)
            time.sleep(max(0.0, at - time.monotonic()))
            conversation.is_ending = self._ending.is_set()
            pause = next(talk, None)
            if pause is not None:
                heapq.heappush(turns, (time.monotonic() + pause, number, conversation, talk))
            elif not self._ending.is_set():
                heapq.heappush(turns, self._begin(self._dice.uniform(0, 2)))

    def _begin(self, pause: float) -> tuple[float, int, Conversation, Iterator[float]]:
        self._number += 1
        conversation = Conversation(
            self.side, f"{self.side.name}-{self._number}", Random(f"{self._dice.random()} {self._number}")
        )
        self.begun.append(conversation)
        return time.monotonic() + pause, self._number, conversation, conversation.talk()
