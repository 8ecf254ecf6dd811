"""Workers are replaced under load, one after the other."""

import signal

import pytest
from pytest_celery import CeleryTestWorker

from crash.load import Load
from crash.scene import SOON, Scene, has_exited, main_pid
from long import LONG
from nodes.process_group import living_members
from waiting import wait_until

GOES_ON = 30.0
"""Seconds after the fault."""
WORKERS = 3
DEPLOYS = 5 if LONG else 1


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(params=["prefork", "threads"])
def worker_args(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if not LONG and (request.param == "threads") != (request.getfixturevalue("broker") == "rabbitmq"):
        pytest.skip("only with CELERY_INBOX_LONG")
    return ("--pool", request.param, "--concurrency", "2")


@pytest.fixture
def handler() -> dict[str, int]:
    """A deploy that eats an attempt is a dead letter."""
    return {"max_attempts": 1}


@pytest.fixture
def fleet(scene: Scene) -> list[CeleryTestWorker]:
    """Workers that serve the same partitions."""
    return [scene.worker, *(scene.start_worker() for _ in range(WORKERS - 1))]


def test_rolling_restarts_under_load_overlap_lose_and_double_nothing(
    scene: Scene, fleet: list[CeleryTestWorker]
) -> None:
    """OVL-6, DEP-4: a new worker is up before an old one is told to stop; every batch has one attempt."""
    with Load(scene, sessions=20) as load:
        load.wait_for_handled(10, timeout=GOES_ON)
        for _ in range(DEPLOYS * WORKERS):
            fleet.append(scene.start_worker())
            old = fleet.pop(0)
            group = main_pid(old)
            old.kill(signal.SIGTERM)
            wait_until(lambda old=old: has_exited(old), description="the old worker has ended", timeout=SOON)  # type: ignore[misc]
            assert old.container.attrs["State"]["ExitCode"] == 0
            assert living_members(group) == []
            load.wait_for_handled(5, timeout=GOES_ON)
        assert load.refused == 0
    load.wait_for_all(timeout=GOES_ON)
    assert {run.start.attempt for run in scene.runs()} == {1}
    assert scene.inbox.dead_letters() == []
    scene.assert_clean()
