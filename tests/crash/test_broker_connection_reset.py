"""The connections to the broker are reset in the middle of a handler."""

from collections.abc import Iterator

import pytest
from pytest_celery import CeleryBrokerCluster

from crash.scene import SOON, Scene, main_pid
from faults.proxy import Proxy
from waiting import wait_until

RESETS = 3
LOST = "Connection to broker lost"
CONNECTED = "Connected to"
CANCEL = "worker_cancel_long_running_tasks_on_connection_loss"


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(params=[False, True], ids=["keep", "cancel"])
def conf(request: pytest.FixtureRequest) -> dict[str, bool]:
    return {CANCEL: request.param}


@pytest.fixture
def proxy(celery_broker_cluster: CeleryBrokerCluster) -> Iterator[Proxy]:
    """Stand between the workers and their broker."""
    with Proxy(celery_broker_cluster[0].config()["host_url"]) as proxy:
        yield proxy


@pytest.fixture
def worker_env(worker_env: dict[str, str], proxy: Proxy) -> dict[str, str]:
    return {**worker_env, "CELERY_BROKER_URL": proxy.url}


def waiting_workers(scene: Scene) -> int:
    """Workers that wait for a kick at Redis."""
    return sum(client["cmd"] == "brpop" and "b" in client["flags"] for client in scene.broker.client_list())


def test_a_reset_of_the_brokers_connections_starts_nothing_twice(scene: Scene, proxy: Proxy, broker: str) -> None:
    """OVL-5, DEP-7: two workers, three resets during one run, whichever Celery's default is: no overlap, one run."""
    workers = [scene.worker, scene.start_worker()]
    pids = [main_pid(worker) for worker in workers]

    def count(line: str) -> int:
        return sum(worker.logs().count(line) for worker in workers)

    ids = [scene.send("s", do="wait", until="go").id, *scene.send_some("s", 2)]
    scene.wait_for_runs("s", 1)
    later = scene.send_some("s", 2)
    for _ in range(RESETS):
        if broker == "redis":
            wait_until(lambda: waiting_workers(scene) >= 1, description="a worker waits for a kick", timeout=SOON)
        lost = count(LOST)
        assert proxy.cut() > 0
        wait_until(lambda lost=lost: count(LOST) > lost, description="a worker has noticed", timeout=SOON)  # type: ignore[misc]
        wait_until(
            lambda: count(CONNECTED) == count(LOST) + len(workers), description="it is connected again", timeout=SOON
        )
    other = scene.send_some("other", 1)
    scene.wait_for_handled("other", other)
    assert len(scene.runs("s")) == 1
    scene.mark("go")
    scene.wait_for_handled("s", ids + later)
    assert [list(run.ids) for run in scene.runs("s")] == [ids, later]
    assert [main_pid(worker) for worker in workers] == pids
    scene.assert_clean()
