"""The pipe that ties a server to the life of the process that asked for it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from celery_inbox.embedded import keeper
from celery_inbox.errors import InboxError


class ServerFailed(InboxError):
    """The embedded server does not run; what it had on disk stays until ``Server.close``."""


class Lifeline:
    """The caller's end of a keeper process (see ``keeper``) in a new directory of mode 0700.

    Args:
        binary: Absolute path of the server program; it will be run with ``server.conf`` of the directory.
    """

    def __init__(self, binary: Path) -> None:
        self.owner = os.getpid()
        self.directory = Path(tempfile.mkdtemp(prefix="celery-inbox-"))
        self.server_pid = 0
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(self.owner), str(binary), "server.conf"],
            bufsize=0,
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for the caller alone
        )

    @property
    def is_server_running(self) -> bool:
        """Whether the process of the server last started exists."""
        if not self.server_pid:
            return False
        try:
            os.kill(self.server_pid, 0)
        except (ProcessLookupError, PermissionError):  # gone, or its id is another user's by now
            return False
        return True

    def start_server(self) -> None:
        """Start the server process, unless one runs; it may end at once."""
        if not (pid := self._ask(b"start\n")):
            raise ServerFailed(f"The Redis server program cannot be run: {self.log()}")
        self.server_pid = pid

    def stop_server(self) -> None:
        """End the server process, by force after some seconds; return when it is gone."""
        self._ask(b"stop\n")

    def log(self) -> str:
        """Return what the server last started has written."""
        return (self.directory / "server.log").read_text(errors="replace")

    def close(self) -> None:
        """End server and keeper, then remove the directory; in a forked child of the owner, do nothing."""
        if self.owner != os.getpid():
            return
        with self._keeper as process, suppress(BrokenPipeError):
            assert process.stdin is not None
            # Closing the pipe would not do: a forked child may hold it open too.
            process.stdin.write(b"close\n")
        if self._keeper.returncode < 0 and self.is_server_running:
            os.kill(self.server_pid, signal.SIGKILL)  # somebody killed the keeper, which left its server behind
        shutil.rmtree(self.directory, ignore_errors=True)

    def _ask(self, request: bytes) -> int:
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        with suppress(BrokenPipeError):
            self._keeper.stdin.write(request)
        if not (reply := self._keeper.stdout.readline()):
            raise ServerFailed("The process that keeps the Redis server has died: call close, then start.")
        return int(reply)
