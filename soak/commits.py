"""A file in which workers write down what the inbox has accepted as handled."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from celery_inbox.store.moves import Claim


class Commit(NamedTuple):
    """A run whose ack was accepted; with a session its kind and its fence name the run."""

    session: str
    kind: str
    """``m`` or ``c``."""
    fence: int


class Commits:
    """One line per accepted ack, appended by one write."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._read = 0

    def write(self, claim: Claim) -> None:
        """Record that the ack of a claim was accepted."""
        line = json.dumps([claim.address.session, claim.kind, claim.fence]).encode() + b"\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def read_on(self) -> list[Commit]:
        """What was written since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return [Commit(*json.loads(line)) for line in whole.splitlines()]
