"""The process that owns a server for as long as its caller lives.

``Server`` runs this file by its path with ``python -I -S``: it imports the standard library only. Its directory is the
server's; requests are lines on stdin, each is answered by one line on stdout. When stdin closes or the caller is gone,
the server is ended, then the directory removed.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType

CALLER_CHECK = 1.0  # seconds between two looks at who the parent is
STOP_TIMEOUT = 5.0  # seconds a server has to end by itself


class Keeper:
    """One server program, started and stopped on request.

    Args:
        caller: Process id of the parent for whom the server is kept.
        command: The server's command line.
    """

    def __init__(self, caller: int, command: list[str]) -> None:
        self.caller = caller
        self.command = command
        self.directory = os.getcwd()
        self.server: subprocess.Popen[bytes] | None = None
        self.is_ending = False

    def keep(self) -> None:
        """Serve requests until the caller is done or gone, then leave nothing behind."""
        os.umask(0o077)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # signals that the caller blocks would stay blocked here
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self.reap())
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, self.end)
        try:
            self.serve()
        finally:
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)

    def serve(self) -> None:
        """Answer one request after the other."""
        with open(0, "rb", buffering=0) as requests:
            # A child that the caller forked holds the pipe open after the caller's death: the parent's id tells.
            while not self.is_ending and os.getppid() == self.caller:
                self.reap()  # a server that died before it was assigned had its SIGCHLD in vain
                if select.select([requests], [], [], CALLER_CHECK)[0] and not self.answer(requests.readline()):
                    return

    def answer(self, request: bytes) -> bool:
        """Do what a request says; False when it says, by its words or by its absence, that the caller is done."""
        match request:
            case b"start\n":
                self.start()
            case b"stop\n":
                self.stop()
            case _:
                return False
        print(self.server.pid if self.server else 0, flush=True)
        return True

    def start(self) -> None:
        """Start the server, unless it runs."""
        if self.server is None or self.server.poll() is not None:
            with open("server.log", "wb") as log:
                try:
                    self.server = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                except OSError as error:  # a program for another machine, say
                    self.server = None
                    log.write(str(error).encode())

    def stop(self) -> None:
        """End the server, if need be by force."""
        if self.server is None:
            return
        self.server.terminate()
        self.server.send_signal(signal.SIGCONT)  # a server that a test has suspended would not see the first signal
        try:
            self.server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.server = None

    def reap(self) -> None:
        """Collect a server that died by itself, so that its process id is seen to be gone."""
        if self.server is not None:
            self.server.poll()

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """Note the signal; raising here could lose a server between its fork and its assignment."""
        self.is_ending = True


if __name__ == "__main__":
    Keeper(int(sys.argv[1]), sys.argv[2:]).keep()
