"""Redis is away for longer than a lease while a handler runs."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psutil
import pytest

from celery_inbox.embedded import Server
from crash.scene import DISPATCH_INTERVAL, LEASE, Scene, answers, now_ms
from waiting import wait_until

AWAY = LEASE + 1.0


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Nobody listens on its port."""
    server.stop()
    assert not server.is_running
    yield
    server.start()


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Connections stay open and nothing is answered."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        wait_until(
            lambda: psutil.Process(server.pid).status() == psutil.STATUS_STOPPED, description="the server stands"
        )
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def wait_for_seconds(seconds: float, description: str) -> None:
    """Let the time pass that the disaster lasts."""
    ends_at = now_ms() + seconds * 1000
    wait_until(lambda: now_ms() >= ends_at, description=description, timeout=seconds + 10)


@pytest.mark.parametrize("away", [stopped, frozen])
def test_a_holder_keeps_its_batch_when_redis_comes_back(
    scene: Scene, data_server: Server, away: Callable[[Server], AbstractContextManager[None]]
) -> None:
    """Section 4: for one lease after the outage nobody reclaims, the holder renews; one run, no overlap."""
    scene.start_worker()
    ids = [scene.send("s", do="wait", until="go").id, *scene.send_some("s", 2)]
    scene.wait_for_runs("s", 1)
    later = scene.send_some("s", 2)
    with away(data_server):
        wait_for_seconds(AWAY, "Redis is away for longer than a lease")
    wait_until(lambda: answers(scene.data), description="Redis is back")
    wait_for_seconds(LEASE + 2 * DISPATCH_INTERVAL, "the grace is over and every dispatcher has looked")
    view = scene.inbox.peek("s")
    assert view is not None
    assert view.attempt == 1
    assert view.lease_end is not None
    assert view.lease_end > now_ms(), "the holder has not renewed"
    assert len(scene.runs("s")) == 1
    scene.mark("go")
    scene.wait_for_handled("s", ids + later)
    assert [list(run.ids) for run in scene.runs("s")] == [ids, later]
    assert [run.start.attempt for run in scene.runs("s")] == [1, 1]
    scene.assert_clean()


def test_an_ack_is_repeated_until_redis_is_back(scene: Scene, data_server: Server) -> None:
    """The handler returns while nobody answers: its batch is handled once, not again when its lease has ended."""
    scene.start_worker()
    ids = [scene.send("s", do="wait", until="go").id]
    scene.wait_for_runs("s", 1)
    with stopped(data_server):
        scene.mark("go")
        wait_until(lambda: scene.handled("s") == ids, description="the handler has returned")
        wait_for_seconds(AWAY, "Redis is away for longer than a lease")
    wait_until(lambda: answers(scene.data), description="Redis is back")
    wait_until(lambda: scene.inbox.peek("s") is None, description="the batch is settled")
    assert len(scene.runs("s")) == 1
    scene.assert_clean()
