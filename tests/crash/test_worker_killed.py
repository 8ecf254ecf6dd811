"""SIGKILL of a whole worker, in the middle of a handler."""

from crash.scene import RECOVERY, Scene, kill, main_pid, now_ms, seconds_between, worker_of
from faults.processes import is_alive


def test_another_worker_takes_over_from_a_killed_one(scene: Scene) -> None:
    """STK-10, ORD-4: attempt 2 of the same batch within lease and dispatch interval, visibility_timeout at an hour."""
    other = scene.start_worker()
    first = [scene.send("s", do="wait").id, *scene.send_some("s", 2)]
    (killed,) = scene.wait_for_runs("s", 1)
    later = scene.send_some("s", 2)
    holder = worker_of(killed.start.pid, scene.worker, other)
    survivor = other if holder is scene.worker else scene.worker
    at = kill(holder)
    assert not is_alive(killed.start.pid)
    scene.wait_for_handled("s", first + later)
    _, again, *rest = scene.runs("s")
    assert seconds_between(at, again.start.at) <= RECOVERY
    assert worker_of(again.start.pid, survivor) is survivor
    assert list(killed.ids) == first == list(again.ids)
    assert again.start.batch == killed.start.batch
    assert again.start.attempt == 2
    assert [id for run in rest for id in run.ids] == later
    scene.assert_clean()


def test_a_restarted_worker_goes_on_where_it_was_killed(scene: Scene) -> None:
    """STK-1: killed three times with nobody beside it; each time the same batch starts again, in time."""
    kills = 3
    first = [scene.send("s", do="wait", attempts=kills).id, *scene.send_some("s", 2)]
    later = []
    for attempt in range(1, kills + 1):
        killed = scene.wait_for_runs("s", attempt)[attempt - 1]
        later += scene.send_some("s", 1)
        pid = main_pid(scene.worker)
        kill(scene.worker)
        assert not is_alive(killed.start.pid)
        assert not is_alive(pid)
        scene.worker.restart()
        ready_at = now_ms()
        again = scene.wait_for_runs("s", attempt + 1)[attempt]
        assert seconds_between(ready_at, again.start.at) <= RECOVERY
        assert (again.start.batch, list(again.ids)) == (killed.start.batch, first)
        assert again.start.attempt == attempt + 1
    scene.wait_for_handled("s", first + later)
    assert scene.handled("s") == first + later
    scene.assert_clean()
