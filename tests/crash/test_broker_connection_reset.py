"""The connections to the broker are reset in the middle of a handler."""

import pytest

from crash.scene import SOON, Scene
from waiting import wait_until

RESETS = 3


@pytest.fixture(params=[False, True], ids=["keep", "cancel"])
def conf(request: pytest.FixtureRequest) -> dict[str, bool]:
    return {"worker_cancel_long_running_tasks_on_connection_loss": request.param}


def waiting_workers(scene: Scene) -> int:
    """Workers that wait for a kick."""
    return sum(client["cmd"] == "brpop" and "b" in client["flags"] for client in scene.broker.client_list())


def test_a_reset_of_the_brokers_connections_starts_nothing_twice(scene: Scene) -> None:
    """OVL-5: two workers, three resets during one run: no overlap, nothing lost, one run."""
    workers = [scene.worker, scene.start_worker()]

    def noticed() -> int:
        return sum(worker.logs().count("Connection to broker lost") for worker in workers)

    ids = [scene.send("s", do="wait", until="go").id, *scene.send_some("s", 2)]
    scene.wait_for_runs("s", 1)
    later = scene.send_some("s", 2)
    for _ in range(RESETS):
        wait_until(lambda: waiting_workers(scene) >= 1, description="a worker waits for a kick", timeout=SOON)
        before = noticed()
        assert scene.broker.client_kill_filter(_type="normal", skipme=True) > 0
        wait_until(
            lambda before=before: noticed() > before,  # type: ignore[misc]
            description="a worker has noticed",
            timeout=SOON,
        )
    other = scene.send_some("other", 1)
    scene.wait_for_handled("other", other)
    scene.mark("go")
    scene.wait_for_handled("s", ids + later)
    assert [list(run.ids) for run in scene.runs("s")] == [ids, later]
    scene.assert_clean()
