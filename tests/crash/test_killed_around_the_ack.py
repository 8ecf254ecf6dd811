"""SIGKILL of the whole worker in the instants around the ack."""

import signal

from crash.scene import RECOVERY, SOON, Scene, has_exited, now_ms, seconds_between
from faults.points import AFTER_ACK, AFTER_HANDLER
from waiting import wait_until


def die_at(scene: Scene, point: str) -> list[str]:
    """Send a batch at whose settlement the worker dies, and start the worker again."""
    scene.points.arm(point, signal.SIGKILL, "group")
    ids = scene.send_some("s", 2)
    wait_until(lambda: has_exited(scene.worker), description=f"the worker is dead {point}", timeout=SOON)
    assert scene.points.struck(point)
    assert list(scene.runs("s")[-1].ids) == ids
    assert scene.runs("s")[-1].is_successful
    return ids


def test_a_batch_that_was_handled_and_not_acknowledged_runs_once_more(scene: Scene) -> None:
    """DUP-6: between the handler's return and the ack: attempt 2 of the same batch, exactly one extra run."""
    ids = die_at(scene, AFTER_HANDLER)
    scene.worker.restart()
    ready_at = now_ms()
    scene.wait_for_handled("s", ids)
    first, again = scene.runs("s")
    assert seconds_between(ready_at, again.start.at) <= RECOVERY
    assert (again.start.batch, again.ids) == (first.start.batch, first.ids)
    assert (first.start.attempt, again.start.attempt) == (1, 2)
    scene.wait_for_handled("s", scene.send_some("s", 1))
    assert len(scene.runs("s")) == 3
    scene.assert_clean(allow={"DUP"})
    assert len(scene.report().of("DUP")) == len(ids)


def test_a_batch_that_was_acknowledged_never_runs_again(scene: Scene) -> None:
    """DUP-6: between the inbox's ack and Celery's: no second run, whatever becomes of the kick."""
    ids = die_at(scene, AFTER_ACK)
    assert scene.inbox.peek("s") is None
    scene.worker.restart()
    later = scene.send_some("s", 2)
    scene.wait_for_handled("s", later)
    wait_until(
        lambda: scene.recorded_kicks() == 0 and scene.kicks_at_the_broker() == 0,
        description="no kick is under way",
    )
    assert scene.handled("s") == ids + later
    assert len(scene.runs("s")) == 2
    scene.assert_clean()
