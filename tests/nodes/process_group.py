"""A command that leads its own process group."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from .waiting import wait_until
from .watchdog import Watchdog

DEATH_TIMEOUT = 10.0  # seconds until a SIGKILL has done its work, on a busy machine

# The command begins only when the watchdog knows its group; a parent that dies before that closes the pipe.
GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")


class ProcessGroup:
    """Dies as a whole, like a container: with its main process, or by SIGKILL."""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, watchdog: Watchdog
    ) -> None:
        self._watchdog = watchdog
        with log.open("ab") as output:
            self._main = subprocess.Popen(
                [*GATE, *argv],
                env=env,
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watchdog.guard(self.pid)
        self._open_gate()

    @property
    def pid(self) -> int:
        """Id of the main process, which is the id of the group."""
        return self._main.pid

    def exit_code(self) -> int | None:
        """Return the code as Docker counts it (128 + signal), None while the main process runs."""
        if self._main.returncode is None and self._is_zombie():
            self._bury()
        code = self._main.returncode
        return code if code is None or code >= 0 else 128 - code

    def wait(self, timeout: float) -> int | None:
        """Wait up to ``timeout`` seconds for the end; return what ``exit_code()`` says then."""
        wait_until(lambda: self.exit_code() is not None, timeout)
        return self.exit_code()

    def send(self, signum: int) -> None:
        """Signal the main process only; SIGKILL ends the whole group before this returns."""
        if self.exit_code() is not None:
            return
        if signum == signal.SIGKILL:
            self._bury()
        else:
            self._main.send_signal(signum)

    def freeze(self) -> None:
        """Stop every process of the group where it stands."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def _open_gate(self) -> None:
        assert self._main.stdin is not None
        with suppress(BrokenPipeError):
            self._main.stdin.write(b"go\n")
            self._main.stdin.close()

    def _is_zombie(self) -> bool:
        return bool(psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE)

    def _bury(self) -> None:
        # Before the main process is reaped: until then nobody else can be given the number of this group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        wait_until(lambda: not living_members(self.pid), DEATH_TIMEOUT)
        self._main.wait()
        self._watchdog.release(self.pid)


def living_members(group: int) -> list[int]:
    """Return the ids of the group's processes that still run; zombies wait for their parent, not for us."""
    return [pid for pid in psutil.pids() if _lives_in(group, pid)]


def _lives_in(group: int, pid: int) -> bool:
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, PermissionError, psutil.Error):
        return False
