"""A command run beside a container's main process."""

import uuid
from collections.abc import Mapping, Sequence

from .binds import rewrite
from .command import with_this_python
from .environment import environment, working_directory
from .process_group import ProcessGroup
from .run import Run

MAIN_PID_VARIABLE = "NODE_MAIN_PID"


def execute(run: Run, argv: Sequence[str], extra: Mapping[str, str]) -> tuple[int, bytes]:
    """Run ``argv`` to its end with the environment of the container; return its exit code and output."""
    log = run.order.home / f"exec-{uuid.uuid4().hex}"
    group = ProcessGroup(
        with_this_python([rewrite(part, run.order.binds) for part in argv]),
        env={**environment(run.order, run.plan), **extra, MAIN_PID_VARIABLE: str(run.pid)},
        cwd=working_directory(run.order),
        log=log,
        watchdog=run.watchdog,
    )
    code = group.wait(float("inf"))
    assert code is not None
    output = log.read_bytes()
    log.unlink()
    return code, output
