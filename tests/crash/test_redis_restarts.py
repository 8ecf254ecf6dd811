"""Redis, in which the sessions live, ends and comes back with what its append-only file holds."""

import os
import signal

from celery_inbox.embedded import Server
from crash.load import Load
from crash.scene import Scene
from waiting import wait_until

GOES_ON = 30.0
"""Seconds after the last fault."""
RESTARTS = 5


def end(server: Server, how: int) -> None:
    """Stop the server in peace or by SIGKILL."""
    if how % 2:
        os.kill(server.pid, signal.SIGKILL)
    else:
        server.stop()
    wait_until(lambda: not server.is_running, description="the server is dead")


def test_restarts_of_redis_under_load_lose_and_double_nothing(scene: Scene, data_server: Server) -> None:
    """STK-9: five restarts, some of them SIGKILL; no worker is restarted, no message lost, doubled or overtaken."""
    with Load(scene) as load:
        load.wait_for_handled(10, timeout=GOES_ON)
        for restart in range(RESTARTS):
            refused = load.refused
            end(data_server, restart)
            wait_until(lambda refused=refused: load.refused > refused, description="a send was refused")  # type: ignore[misc]
            data_server.start()
            load.wait_for_handled(10, timeout=GOES_ON)
    load.wait_for_all(timeout=GOES_ON)
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()
