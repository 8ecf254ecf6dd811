"""The broker has handed the kick over, and the worker dies before it has read it."""

from celery_inbox.worker.dispatcher import Dispatcher
from celery_inbox.worker.share import Share
from crash.scene import RECOVERY, Scene, kill, main_pid, now_ms, seconds_between
from faults.processes import is_alive
from waiting import wait_until


def test_a_kick_that_dies_in_a_workers_socket_is_published_again(scene: Scene) -> None:
    """LOS-2: gone from the queue, not yet in ``unacked``: kombu has lost it, the inbox has not."""
    wait_until(
        lambda: any(client["cmd"] == "brpop" and "b" in client["flags"] for client in scene.broker.client_list()),
        description="the worker waits for a kick",
    )
    pid = main_pid(scene.worker)
    scene.worker.container.pause()
    ids = scene.send_some("s", 1)
    dispatcher = Dispatcher(scene.inbox, Share(scene.inbox, "another worker", [scene.partition_of("s")]), 1)
    dispatcher.start()
    wait_until(lambda: scene.recorded_kicks() == 1, description="the kick is published")
    dispatcher.stop()
    wait_until(lambda: scene.kicks_at_the_broker() == 0, description="the broker has handed the kick over")
    kill(scene.worker, pid)
    assert not is_alive(pid)
    assert scene.kicks_at_the_broker() == 0
    assert scene.recorded_kicks() == 1
    assert scene.runs("s") == []
    scene.start_worker()
    ready_at = now_ms()
    scene.wait_for_handled("s", ids)
    assert seconds_between(ready_at, scene.runs("s")[0].start.at) <= RECOVERY
    scene.assert_clean()
