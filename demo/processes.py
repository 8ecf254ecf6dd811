"""The Procfile's processes, for the length of a ``with`` block."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from honcho.environ import parse_procfile

ROOT = Path(__file__).parents[1]
PROCFILE = ROOT / "Procfile"
END_TIMEOUT = 15.0  # seconds that the runner has to end everything, force included
SHOWN = 8  # last lines of a failed process's log


class ProcessError(Exception):
    """A process ended although nobody asked it to, or never became ready."""


class Processes:
    """Starts what the Procfile lists and leaves none of it behind.

    The processes belong to a runner (see ``runner``) that ends them when this process ends, however that happens.

    Args:
        logs: An existing directory; each process writes to ``<name>.log`` in it.
        environment: Variables that the processes see besides those of this process.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self.logs = logs.resolve()
        self.pids: dict[str, int] = {}
        """Process ids by name; each is its group's id, too."""
        self.ready: set[str] = set()
        """Names of those that work."""
        self._environment = environment
        self._runner: subprocess.Popen[bytes] | None = None
        self._failure: str | None = None
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        """Start the runner; the processes follow by and by."""
        # The Procfile says ``celery``, which means the one beside this Python, activated or not.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self._runner = subprocess.Popen(
            [sys.executable, "-m", "demo.runner", str(PROCFILE), str(self.logs)],
            cwd=ROOT,
            env={**os.environ, **self._environment, "PATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for this process alone
        )
        threading.Thread(target=self._listen, args=(self._runner,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything: by SIGTERM, after some seconds by SIGKILL."""
        assert self._runner is not None
        assert self._runner.stdin is not None
        self._runner.stdin.close()
        try:
            self._runner.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._runner.kill()
            self._runner.wait()
        if self._runner.returncode:  # somebody killed it, so nobody has ended these
            for pid in self.pids.values():
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until every process works.

        Args:
            timeout: Seconds.

        Raises:
            ProcessError: One has ended, or time is up.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: self._failure or self._is_complete(), timeout)
        self.ensure_running()
        if not in_time:
            missing = ", ".join(sorted(self.names() - self.ready))
            raise ProcessError(f"not ready after {timeout:g} s: {missing}; see {self.logs}")

    def ensure_running(self) -> None:
        """Do nothing while everything runs.

        Raises:
            ProcessError: A process has ended. The message has its last words.
        """
        if self._failure:
            raise ProcessError(self._failure)

    def names(self) -> set[str]:
        """Read the names of the processes from the Procfile."""
        return set(parse_procfile(PROCFILE.read_text()).processes)

    def _is_complete(self) -> bool:
        return self.ready == self.names()

    def _listen(self, runner: subprocess.Popen[bytes]) -> None:
        assert runner.stdout is not None
        for line in runner.stdout:
            with self._changed:
                match json.loads(line):
                    case {"started": name, "pid": pid}:
                        self.pids[name] = pid
                    case {"ready": name}:
                        self.ready.add(name)
                    case {"stopped": name, "status": status}:
                        self._failure = self._failure or self._last_words(name, status)
                self._changed.notify_all()
        with self._changed:
            self._failure = self._failure or "the runner of the processes has ended"
            self._changed.notify_all()

    def _last_words(self, name: str, status: int) -> str:
        log = self.logs / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines()[-SHOWN:]
        return "\n".join([f"{name} ended by itself with status {status}; the end of {log}:", *lines])
