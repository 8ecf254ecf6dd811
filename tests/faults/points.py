"""Five marked points of the drain, at which a pool process signals itself, its worker, or the whole group.

A point is armed by a file that only one process gets; a file of the same place says who has struck.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

from celery_inbox.store.moves import Claim
from celery_inbox.worker import drain, task
from faults.processes import Target

BEFORE_CLAIM, AFTER_CLAIM, IN_HANDLER = "before the claim", "after the claim", "in the handler"
AFTER_HANDLER, AFTER_ACK = "after the handler", "after the ack"
POINTS = (BEFORE_CLAIM, AFTER_CLAIM, IN_HANDLER, AFTER_HANDLER, AFTER_ACK)


class Points:
    """The same object for who arms and for who strikes.

    Args:
        directory: Exists; the two share it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def arm(self, point: str, signum: signal.Signals, target: Target) -> None:
        """Have the next process that comes to a point send a signal."""
        begun = self.directory / f"{point} begun"
        begun.write_text(json.dumps([int(signum), target]))
        begun.rename(self.directory / f"{point} armed")

    def struck(self, point: str) -> int | None:
        """Pid of the pool process that has come to an armed point; its signal is sent by now, or in an instant."""
        struck = self.directory / f"{point} struck"
        return int(struck.read_text()) if struck.exists() and struck.read_text() else None

    def reach(self, point: str) -> None:
        """Strike, if the point is armed; a process that was stopped goes on from here when it is let go."""
        taken = self.directory / f"{point} taken by {os.getpid()}"
        try:
            (self.directory / f"{point} armed").rename(taken)
        except FileNotFoundError:
            return
        signum, target = json.loads(taken.read_text())
        (self.directory / f"{point} struck").write_text(f"{os.getpid()}")
        match target:
            case "child":
                os.kill(os.getpid(), signum)
            case "worker":
                os.kill(os.getppid(), signum)
            case _:
                os.killpg(0, signum)

    def watch(self) -> None:
        """Put the points that are not the handler's own into the drain of this process."""
        serve_due, serve, ack = drain.drain, drain.serve, drain.ack

        def drained(*args: Any) -> int:
            self.reach(BEFORE_CLAIM)
            return serve_due(*args)

        def served(handler: task.HandlerTask, claim: Claim, *rest: Any) -> Claim | None:
            self.reach(AFTER_CLAIM)
            return serve(handler, claim, *rest)

        def acked(*args: Any) -> Claim | None:
            self.reach(AFTER_HANDLER)
            following = ack(*args)
            self.reach(AFTER_ACK)
            return following

        for module, name, watched in ((task, "drain", drained), (drain, "serve", served), (drain, "ack", acked)):
            mock.patch.object(module, name, watched).start()
