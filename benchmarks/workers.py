"""Real ``celery worker`` processes that can be frozen, so that one peer rests while another is measured."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.producer import Peer

QUIET = 0.15
"""Seconds without processor time after which a worker has nothing left to do."""
QUIET_SHARE = 0.15
"""Share of a processor that a worker at rest uses at most."""
END_TIMEOUT = 20.0

WORDS: dict[Peer, list[str]] = {
    "inbox": [],
    "each": ["-Q", "each"],
    # It needs a prefetch of at least a batch.
    "together": ["-Q", "together", "--prefetch-multiplier", "200"],
}


def words_of(peer: Peer, partitions: str) -> list[str]:
    """What makes a worker serve a peer, and of the inbox such partitions."""
    return ["--inbox", partitions] if peer == "inbox" else WORDS[peer]


class Worker:
    """One worker, in a session of its own."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        pool: str,
        slots: int,
        app: str = "benchmarks.app",
    ) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", app, "worker", "-l", "WARNING"),
                    *("-P", pool, "-c", str(slots), "-n", f"{log.stem}@%h"),
                    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                    *words,
                ],
                env=dict(environment),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)

    def cpu(self) -> float:
        """Processor seconds of all its processes so far."""
        times = 0.0
        for process in (self._root, *self._root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                used = process.cpu_times()
                times += used.user + used.system
        return times

    def memory(self) -> int:
        """Resident bytes of its main process."""
        return int(self._root.memory_info().rss)

    def kill(self) -> None:
        """End all its processes by SIGKILL, unless they have ended."""
        if self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def require_alive(self) -> None:
        """Raise with the end of its log unless it runs."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the worker has ended with {self._process.returncode}: {self.log.read_text()[-2000:]}")

    def freeze(self) -> None:
        """Let it rest, once it has settled what it handled."""
        used, since = self.cpu(), time.monotonic()
        while True:
            time.sleep(QUIET)
            now, at = self.cpu(), time.monotonic()
            if now - used <= QUIET_SHARE * (at - since):
                break
            used, since = now, at
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._process.poll() is not None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
