"""A worker is told to stop: politely, impolitely, or politely by somebody who does not wait for the answer."""

import signal

import pytest

from crash.scene import RECOVERY, SOON, Scene, has_exited, main_pid, now_ms, seconds_between
from faults.processes import is_alive
from long import LONG
from nodes.process_group import living_members
from waiting import wait_until

DEPLOYS = 5
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL, as ``docker stop -t 2`` gives them."""


ON_BOTH = pytest.mark.parametrize(
    ("broker", "worker_args"),
    [
        ("redis", ("--pool", "prefork", "--concurrency", "1")),
        ("rabbitmq", ("--pool", "prefork", "--concurrency", "1")),
        ("rabbitmq", ("--pool", "threads", "--concurrency", "1")),
    ],
    ids=["redis", "rabbitmq", "rabbitmq-threads"],
)


@pytest.fixture
def handler() -> dict[str, int]:
    """Fewer attempts than deploys."""
    return {"max_attempts": 2}


@ON_BOTH
def test_a_warm_shutdown_finishes_the_running_batch_and_takes_no_other(scene: Scene) -> None:
    """SIGTERM: the batch is handled once, what else is due waits for the next worker."""
    running = [scene.send("running", do="wait", until="go").id]
    scene.wait_for_runs("running", 1)
    due = {session: scene.send_some(session, 1) for session in ("running", "other", "third", "fourth")}
    wait_until(lambda: scene.recorded_kicks() > 0, description="kicks are under way")
    scene.worker.kill(signal.SIGTERM)
    scene.worker.assert_log_exists("Warm shutdown", timeout=SOON)
    wait_until(
        lambda: any(scene.data.exists(f"{scene.prefix(partition)}:stopping") for partition in "01"),
        description="the worker has said that it stops",
    )
    assert len(scene.runs("running")) == 1
    scene.mark("go")
    wait_until(lambda: has_exited(scene.worker), description="the worker has ended", timeout=SOON)
    assert scene.worker.container.attrs["State"]["ExitCode"] == 0
    assert scene.handled() == running
    assert len(scene.runs()) == 1
    scene.worker.restart()
    for session, ids in due.items():
        scene.wait_for_handled(session, ids)
    assert {run.start.attempt for run in scene.runs()} == {1}
    scene.assert_clean()


def test_a_cold_shutdown_gives_the_running_batch_to_the_next_worker(scene: Scene) -> None:
    """SIGQUIT: the handler is cut off, its batch starts again in time."""
    scene.mark("the first worker")
    first = [scene.send("s", do="wait", during="the first worker").id, *scene.send_some("s", 1)]
    (cut_off,) = scene.wait_for_runs("s", 1)
    later = scene.send_some("s", 2)
    group = main_pid(scene.worker)
    scene.worker.kill(signal.SIGQUIT)
    wait_until(lambda: has_exited(scene.worker), description="the worker has ended", timeout=SOON)
    wait_until(lambda: not living_members(group), description="and its processes too", timeout=SOON)
    assert not is_alive(cut_off.start.pid)
    scene.unmark("the first worker")
    scene.worker.restart()
    ready_at = now_ms()
    again = scene.wait_for_runs("s", 2)[1]
    assert seconds_between(ready_at, again.start.at) <= RECOVERY
    assert (again.start.batch, list(again.ids)) == (cut_off.start.batch, first)
    assert again.start.attempt == 1, "the shutdown has eaten an attempt"
    scene.wait_for_handled("s", first + later)
    scene.assert_clean()


@ON_BOTH
def test_deploys_that_kill_a_long_handler_eat_no_attempt(scene: Scene, request: pytest.FixtureRequest) -> None:
    """DEP-4, LOS-5: SIGTERM, two seconds, SIGKILL, five times in a row with max_attempts=2; handled at last."""
    if not LONG and request.node.callspec.id.endswith("rabbitmq"):
        pytest.skip("only with CELERY_INBOX_LONG")
    ids = [scene.send("s", do="wait", until="time enough", attempts=9).id, *scene.send_some("s", 2)]
    for deploy in range(DEPLOYS):
        killed = scene.wait_for_runs("s", deploy + 1, timeout=RECOVERY)[deploy]
        assert killed.start.attempt == 1, f"after {deploy} deploys"
        assert list(killed.ids) == ids
        group = main_pid(scene.worker)
        scene.worker.container._container.stop(timeout=GRACE)
        assert living_members(group) == []
        assert len(scene.runs("s")) == deploy + 1
        scene.worker.restart()
    last = scene.wait_for_runs("s", DEPLOYS + 1, timeout=RECOVERY)[-1]
    assert last.start.attempt == 1
    scene.mark("time enough")
    scene.wait_for_handled("s", ids)
    assert len({run.start.batch for run in scene.runs("s")}) == 1
    assert scene.inbox.dead_letters() == []
    scene.assert_clean()
