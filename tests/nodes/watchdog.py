"""The line to the process that cleans up when this one dies, even by SIGKILL."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("reaper.py")


class Watchdog:
    """Knows every process group of the engine; a closed pipe is its signal to end them."""

    def __init__(self, directory: Path) -> None:
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SCRIPT), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
        # A fork of this process would otherwise hold the pipe open beyond the death of its parent.
        os.register_at_fork(after_in_child=self._hang_up)

    def guard(self, group: int) -> None:
        self._tell(f"guard {group}")

    def release(self, group: int) -> None:
        self._tell(f"release {group}")

    def close(self) -> None:
        """End the groups still guarded, delete the engine's directory and wait for both."""
        self._hang_up()
        self._reaper.wait()

    def _tell(self, order: str) -> None:
        assert self._reaper.stdin is not None
        self._reaper.stdin.write(f"{order}\n".encode())

    def _hang_up(self) -> None:
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
