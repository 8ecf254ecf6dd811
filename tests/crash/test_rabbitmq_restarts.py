"""RabbitMQ, on which the kicks travel, ends and comes back."""

from collections.abc import Callable, Iterator

import pytest
from pytest_celery import CeleryTestSetup, RabbitMQContainer, RabbitMQTestBroker

from crash.load import Load
from crash.scene import Scene, main_pid
from long import LONG

GOES_ON = 30.0
"""Seconds after the fault."""
RESTARTS = 5 if LONG else 1


def in_peace(setup: CeleryTestSetup) -> None:
    setup.broker.restart()


def by_force(setup: CeleryTestSetup) -> None:
    setup.broker.kill()
    setup.broker.restart()


@pytest.fixture
def broker() -> str:
    return "rabbitmq"


@pytest.fixture
def celery_rabbitmq_broker(default_rabbitmq_broker: RabbitMQContainer) -> Iterator[RabbitMQTestBroker]:
    """One of this test's own, for it is killed."""
    broker = RabbitMQTestBroker(default_rabbitmq_broker)
    yield broker
    broker.teardown()


@pytest.fixture(params=["classic", "quorum"])
def queue_type(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def conf(queue_type: str) -> dict[str, str]:
    return {"task_default_queue_type": queue_type}


@pytest.mark.parametrize("restart", [in_peace, by_force])
def test_restarts_of_rabbitmq_under_load_lose_and_double_nothing(
    scene: Scene, queue_type: str, restart: Callable[[CeleryTestSetup], None]
) -> None:
    """STK-9: sends do not notice, no worker is restarted, all goes on by itself."""
    if not LONG and (queue_type == "quorum") != (restart is by_force):
        pytest.skip("only with CELERY_INBOX_LONG")
    pid = main_pid(scene.worker)
    with Load(scene) as load:
        load.wait_for_handled(10, timeout=GOES_ON)
        for number in range(RESTARTS):
            restart(scene.setup)
            load.wait_for_handled(10, timeout=GOES_ON)
            assert scene.worker.logs().count("Connection to broker lost") == number + 1
        assert load.refused == 0
    load.wait_for_all(timeout=GOES_ON)
    assert main_pid(scene.worker) == pid
    scene.assert_clean()
