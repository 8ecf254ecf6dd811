"""pytest-celery's API on the process engine."""

import os
import signal
from collections.abc import Callable

import psutil
import pytest
from pytest_celery import CeleryTestSetup, CeleryTestWorker
from pytest_celery.vendors.worker.tasks import add

from .connect import Engine
from .engine import ProcessEngine
from .process_group import living_members
from .waiting import wait_until

RESULT_TIMEOUT = 20  # seconds


@pytest.fixture(autouse=True)
def _on_processes(docker_client: Engine) -> None:
    if not isinstance(docker_client, ProcessEngine):
        pytest.skip("these tests look at processes; this session runs on Docker")


def has_exited(worker: CeleryTestWorker) -> bool:
    worker.container.reload()
    return bool(worker.container.status == "exited")


def answer_of(setup: CeleryTestSetup, worker: CeleryTestWorker | None = None) -> int:
    queue = (worker or setup.worker).worker_queue
    result: int = add.s(1, 2).apply_async(queue=queue).get(timeout=RESULT_TIMEOUT)
    return result


def test_a_task_makes_the_round_trip_and_leaves_its_log_line(celery_setup: CeleryTestSetup) -> None:
    assert answer_of(celery_setup) == 3
    celery_setup.worker.assert_log_exists("succeeded", timeout=10)
    celery_setup.worker.assert_log_does_not_exist("Traceback", timeout=0)


def test_a_terminated_worker_exits_in_peace_and_works_again_after_a_restart(celery_setup: CeleryTestSetup) -> None:
    worker = celery_setup.worker
    worker.kill(signal.SIGTERM)
    assert wait_until(lambda: has_exited(worker), timeout=20), worker.logs()
    assert worker.container.attrs["State"]["ExitCode"] == 0
    worker.restart()
    assert answer_of(celery_setup) == 3


def test_a_killed_worker_takes_its_children_along(celery_setup: CeleryTestSetup) -> None:
    worker = celery_setup.worker
    group = worker.container.attrs["State"]["Pid"]
    assert len(living_members(group)) > 1
    worker.kill()
    assert living_members(group) == []
    assert worker.container.status == "exited"
    assert worker.container.attrs["State"]["ExitCode"] == 128 + signal.SIGKILL
    worker.restart()
    assert answer_of(celery_setup) == 3


def test_a_paused_worker_answers_after_the_pause(celery_setup: CeleryTestSetup) -> None:
    worker = celery_setup.worker
    group = worker.container.attrs["State"]["Pid"]
    worker.container.pause()
    assert wait_until(lambda: {psutil.Process(pid).status() for pid in living_members(group)} == {"stopped"}, 5)
    result = add.s(1, 2).apply_async(queue=worker.worker_queue)
    worker.container.unpause()
    assert result.get(timeout=RESULT_TIMEOUT) == 3


def test_a_restarted_broker_keeps_its_port(celery_setup: CeleryTestSetup) -> None:
    broker, worker = celery_setup.broker, celery_setup.worker
    before = broker.config()["host_url"]
    broker.kill()
    worker.assert_log_exists("Connection to broker lost", timeout=20)
    broker.restart()
    assert broker.config()["host_url"] == before
    assert answer_of(celery_setup) == 3


def test_a_second_worker_has_a_name_of_its_own(
    celery_setup: CeleryTestSetup, start_worker: Callable[..., CeleryTestWorker]
) -> None:
    first, second = celery_setup.worker, start_worker("-Q", "celery,other")
    names = {first.hostname(), second.hostname()}
    assert len(names) == 2
    assert wait_until(lambda: {name for reply in celery_setup.app.control.ping() for name in reply} == names, 20)
    first.kill()
    assert add.s(1, 2).apply_async(queue="other").get(timeout=RESULT_TIMEOUT) == 3


class TestChoices:
    """A class, or a module, chooses its worker."""

    @pytest.fixture
    def worker_args(self) -> tuple[str, ...]:
        return ("--pool", "threads", "--concurrency", "3")

    @pytest.fixture
    def worker_env(self) -> dict[str, str]:
        return {"GREETING": "hello"}

    def test_the_worker_is_as_the_module_chose(self, celery_setup: CeleryTestSetup) -> None:
        worker = celery_setup.worker
        assert "concurrency: 3 (thread)" in worker.logs()
        assert worker.container.exec_run("python -c 'import os; print(os.environ[\"GREETING\"])'") == (0, b"hello\n")

    def test_the_worker_lists_only_its_own_processes(self, celery_setup: CeleryTestSetup) -> None:
        processes = celery_setup.worker.get_running_processes_info(["pid"])
        assert {process["pid"] for process in processes} == {celery_setup.worker.container.attrs["State"]["Pid"]}
        assert os.getpid() not in {process["pid"] for process in processes}


class TestRabbitMQ:
    @pytest.fixture
    def broker(self) -> str:
        return "rabbitmq"

    def test_a_task_makes_the_round_trip_through_rabbitmq(self, celery_setup: CeleryTestSetup) -> None:
        assert celery_setup.app.conf.broker_url.startswith("amqp://")
        assert answer_of(celery_setup) == 3
