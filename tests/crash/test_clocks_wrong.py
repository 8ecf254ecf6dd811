"""The clocks of workers and producers are wrong by hours, each by others; Redis's clock decides."""

import json
import os
import subprocess
import sys

import pytest

from crash.scene import RECOVERY, Scene, kill
from faults.clock import skewed

WORKERS = 7.0
PRODUCER = -5.0
"""Hours."""
HOUR = 3_600_000

SEND = """
import json, os, sys, time
from celery import Celery
from celery_inbox import Inbox
told = json.loads(os.environ["CRASH_SCENE"])
inbox = Inbox(Celery("skewed"), "chat", **told["settings"])
print(json.dumps([int(time.time() * 1000), *[inbox.send("s", {"number": n}, id=f"far-{n}").due_at for n in range(3)]]))
"""


@pytest.fixture
def worker_env(worker_env: dict[str, str]) -> dict[str, str]:
    return {**worker_env, **skewed(WORKERS)}


def test_clocks_that_are_wrong_by_hours_change_nothing(scene: Scene, worker_env: dict[str, str]) -> None:
    """Debounce, leases, reclaim: in time and in order, for a producer in the past and workers in the future."""
    near = scene.send_some("s", 2)
    told = subprocess.check_output(
        [sys.executable, "-c", SEND], env={**os.environ, **worker_env, **skewed(PRODUCER)}, text=True
    )
    far_now, *due = json.loads(told)
    ids = [*near, *(f"far-{number}" for number in range(3))]
    scene.wait_for_handled("s", ids, timeout=RECOVERY)
    assert scene.handled("s") == ids
    first = scene.runs("s")[0]
    assert abs(first.start.at - far_now - (WORKERS - PRODUCER) * HOUR) < HOUR / 60, "no clock was wrong"
    assert all(abs(at - far_now + PRODUCER * HOUR) < HOUR / 60 for at in due)
    held = [scene.send("t", do="wait").id]
    (killed,) = scene.wait_for_runs("t", 1)
    kill(scene.worker)
    scene.worker.restart()
    scene.wait_for_handled("t", held)
    again = scene.runs("t")[1]
    assert (again.start.batch, again.start.attempt) == (killed.start.batch, 2)
    report = scene.report()
    assert [found for found in report.violations if found.check != "UNEXPECTED"] == []
