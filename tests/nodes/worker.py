"""The worker container of these tests: pytest-celery's, quick to start."""

from typing import Any

from pytest_celery import CeleryWorkerContainer

# Mingle alone waits a whole second for the replies of other workers.
QUICK_START = ("--without-mingle", "--without-gossip", "--without-heartbeat")


class QuickWorkerContainer(CeleryWorkerContainer):  # type: ignore[misc,unused-ignore]
    """Subclass it to change the queue, the name or the log level; keep the level at INFO, or no start is noticed."""

    @classmethod
    def command(cls, *args: str, **options: Any) -> list[str]:
        command: list[str] = super().command(*QUICK_START, *args, **options)
        return command

    def pause(self) -> None:
        """Freeze the worker and its children, as a long garbage collection or a suspended machine would."""
        self._container.pause()

    def unpause(self) -> None:
        self._container.unpause()
