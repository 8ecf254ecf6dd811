"""A skewed clock is one."""

import json
import os
import subprocess
import sys
import time

import pytest

from faults.clock import skewed

HOUR = 3600
TELL = "import json, threading, time; print(json.dumps([time.time(), time.monotonic()]))"


@pytest.mark.parametrize("hours", [-5, 7])
def test_a_process_has_the_wrong_time(hours: int) -> None:
    """By hours; its monotonic clock is everybody's."""
    before = time.time(), time.monotonic()
    told = subprocess.check_output([sys.executable, "-c", TELL], env={**os.environ, **skewed(hours)})
    wall, monotonic = json.loads(told)
    assert wall - before[0] == pytest.approx(hours * HOUR, abs=60)
    assert monotonic - before[1] == pytest.approx(0, abs=60)
