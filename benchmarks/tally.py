"""Count what handlers got in a folder of tiny mapped files, one per thread that runs handlers."""

from __future__ import annotations

import mmap
import os
import struct
import threading
from pathlib import Path

COUNT = struct.Struct("q")


class Tally(threading.local):
    """The writing side: each thread of each process has a file of its own, so that counting takes no lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = 0
        self._count = 0

    def add(self, messages: int) -> None:
        """Count messages that a handler got."""
        if self._owner != os.getpid():
            self._open()
        self._count += messages
        COUNT.pack_into(self._slot, 0, self._count)

    def _open(self) -> None:
        """Not before the first message: what a parent opened, its children would share."""
        self._owner, self._count = os.getpid(), 0
        path = self._folder / f"{self._owner}-{threading.get_ident()}"
        path.write_bytes(COUNT.pack(0))
        with path.open("r+b") as file:
            self._slot = mmap.mmap(file.fileno(), COUNT.size)


def read(folder: Path) -> int:
    """What all threads have counted; a file that is being made has counted nothing."""
    found = [path.read_bytes() for path in folder.iterdir()]
    return sum(COUNT.unpack(count)[0] for count in found if count)
