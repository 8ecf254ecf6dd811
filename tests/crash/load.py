"""A sender that goes on through every disaster."""

import threading
from types import TracebackType
from typing import Self

from celery_inbox import ConfigurationError, StorageUnavailable
from crash.scene import Scene
from waiting import wait_until


class Load:
    """Send to some sessions in turn; a send that raises is repeated with its id, as the error says.

    Args:
        scene: Where the messages go and are written down.
        sessions: How many.
    """

    PAUSE = 0.02  # seconds between two sends

    def __init__(self, scene: Scene, sessions: int = 6) -> None:
        self.scene = scene
        self.ids: dict[str, list[str]] = {f"load-{number}": [] for number in range(sessions)}
        self.refused = 0
        """Sends that raised an error with their id."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def accepted(self) -> int:
        return sum(map(len, self.ids.values()))

    def wait_for_handled(self, more: int, timeout: float) -> None:
        """Wait until so many more were handled, which is the proof that all goes on by itself."""
        goal = len(self.scene.handled()) + more
        wait_until(
            lambda: len(self.scene.handled()) >= goal, description=f"{more} more messages handled", timeout=timeout
        )

    def wait_for_all(self, timeout: float) -> None:
        """Wait until everything that was accepted was handled, in order."""
        for session, ids in self.ids.items():
            self.scene.wait_for_handled(session, ids, timeout)

    def _run(self) -> None:
        try:
            number = 0
            while not self._ending.is_set():
                for session in self.ids:
                    self._send(session, f"{number}")
                    self._ending.wait(self.PAUSE)
                number += 1
        except BaseException as error:
            self._error = error

    def _send(self, session: str, id: str) -> None:
        while True:
            try:
                self.scene.send(session, id=id)
            except (StorageUnavailable, ConfigurationError) as error:
                # Senders with an old number of partitions are told so until they are restarted.
                self.refused += not isinstance(error, StorageUnavailable) or error.id == id
                self._ending.wait(self.PAUSE)
                if self._ending.is_set():
                    return
            else:
                self.ids[session].append(id)
                return
