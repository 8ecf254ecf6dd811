"""The face of one process that looks like a container."""

import shlex
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from docker.errors import APIError, NotFound
from docker.models.containers import ExecResult

from . import archive, port_probe
from .attributes import attributes
from .binds import resolve
from .execution import execute
from .run import Run

ALIVE = ("running", "paused")


class Container:
    """Quacks like docker.models.containers.Container: ``status`` and ``attrs`` are as old as the last ``reload()``."""

    def __init__(self, run: Run, forget: Callable[["Container"], None]) -> None:
        self._run = run
        self._forget = forget
        self._removed = False
        self.reload()

    @property
    def id(self) -> str:
        return self._run.order.id

    @property
    def short_id(self) -> str:
        return self._run.order.short_id

    @property
    def name(self) -> str:
        return self._run.order.name

    @property
    def image(self) -> Any:
        return self._run.order.image

    @property
    def labels(self) -> Mapping[str, str]:
        return self._run.order.labels

    @property
    def status(self) -> str:
        status: str = self.attrs["State"]["Status"]
        return status

    def reload(self) -> None:
        self.attrs = attributes(self._run)

    def start(self) -> None:
        """Start, and return when ready or ended."""
        self._run.start()
        self.reload()

    def restart(self, timeout: float = 10) -> None:
        """Stop within ``timeout`` seconds and start on the same ports, and return when ready or ended."""
        self._run.restart(timeout)

    def stop(self, timeout: float = 10) -> None:
        self._run.stop(timeout)

    def pause(self) -> None:
        """Freeze all processes; connections stay open, nothing is answered."""
        self._run.pause()

    def unpause(self) -> None:
        self._run.unpause()

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal to the main process; SIGKILL, the default, ends all its processes before this returns.

        Raises:
            APIError: it is not running; nothing was sent.
        """
        if self._run.status not in ALIVE:
            raise APIError(f"cannot kill container {self.name}: it is not running")
        self._run.send(_number(signal or "SIGKILL"))

    def wait(self, timeout: float | None = None, **_: Any) -> dict[str, Any]:
        code = self._run.wait(float("inf") if timeout is None else timeout)
        if code is None:
            raise TimeoutError(f"container {self.name} did not end within {timeout} seconds")
        return {"StatusCode": code, "Error": None}

    def logs(self, **_: Any) -> bytes:
        """Return what all starts wrote, stdout and stderr together."""
        if self._removed:
            raise NotFound(f"no such container: {self.name}")
        return self._run.log.read_bytes()

    def exec_run(self, cmd: str | list[str], environment: Mapping[str, str] | None = None, **_: Any) -> ExecResult:
        argv = shlex.split(cmd) if isinstance(cmd, str) else list(cmd)
        if port_probe.is_probe(argv):
            return ExecResult(0, port_probe.answer(self._run.plan.ports))
        if self._run.status != "running":
            raise APIError(f"container {self.name} is not running")
        return ExecResult(*execute(self._run, argv, environment or {}))

    def put_archive(self, path: str, data: bytes | IO[bytes] | Iterable[bytes]) -> bool:
        archive.unpack(data, self._place(path))
        return True

    def get_archive(self, path: str, **_: Any) -> tuple[Iterator[bytes], dict[str, Any]]:
        place = self._place(path)
        if not place.exists():
            raise NotFound(f"no {path} in container {self.name}")
        return iter([archive.pack(place)]), {"name": place.name, "size": place.stat().st_size}

    def remove(self, force: bool = False, **_: Any) -> None:
        """Remove the container and its files; ``force`` kills it first.

        Raises:
            APIError: it runs and ``force`` is not set; nothing was removed.
        """
        if self._run.status in ALIVE:
            if not force:
                raise APIError(f"cannot remove container {self.name}: it is running")
            self._run.send(signal.SIGKILL)
        shutil.rmtree(self._run.order.home, ignore_errors=True)
        self._removed = True
        self._forget(self)

    def _place(self, path: str) -> Path:
        place = resolve(path, self._run.order.binds)
        if place is None:
            raise NotFound(f"no {path} in container {self.name}: only volumes hold files")
        return place


def _number(wanted: str | int) -> int:
    if isinstance(wanted, int) or wanted.isdecimal():
        return int(wanted)
    return signal.Signals[wanted if wanted.startswith("SIG") else f"SIG{wanted}"]
