"""The script of the watchdog: when its input ends, kill the process groups it was told of and delete their files.

It runs alone (``python reaper.py DIRECTORY``), so that it outlives the pytest that started it.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

DELETE_TIMEOUT = 5.0  # seconds


def follow() -> set[int]:
    """Read ``guard GROUP`` and ``release GROUP`` lines to the end of input; return the groups still guarded."""
    groups: set[int] = set()
    for line in sys.stdin:
        order, group = line.split()
        if order == "guard":
            groups.add(int(group))
        else:
            groups.discard(int(group))
    return groups


def kill(groups: set[int]) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def delete(directory: Path) -> None:
    deadline = time.monotonic() + DELETE_TIMEOUT
    shutil.rmtree(directory, ignore_errors=True)
    # A process that is still dying may write one more file behind the back of the first attempt.
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    kill(follow())
    delete(Path(sys.argv[1]))
