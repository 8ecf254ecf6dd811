"""The fixtures for a root conftest: ``from nodes.plugin import *``.

A test module chooses its worker by overriding one of these, in itself or in a class:

``broker``                     ``redis`` or ``rabbitmq``
``worker_args``                what follows on the command line of ``celery worker``; the last of two options wins
``worker_env``                 more environment variables
``worker_pythonpath``          more directories to import from; the worker's Python is the one that runs pytest
``default_worker_app_module``  the module with the app: its source is copied, with the lines ``imports = None``,
                               ``app = Celery("celery_test_app")`` and ``config = None`` replaced, so keep all three
``default_worker_tasks``       the set of task modules, copied too; their tasks are ``@shared_task``
``default_worker_app``         the app whose configuration, plain values only, the worker gets

``start_worker`` starts more workers of the same kind from within a test.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from pytest_celery import (
    DEFAULT_WORKER_CONTAINER_TIMEOUT,
    DEFAULT_WORKER_VOLUME,
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestWorker,
    CeleryWorkerContainer,
    RabbitMQContainer,
    RedisTestBackend,
)
from pytest_docker_tools import container, fxtr

from . import process_listing
from .connect import Engine, connect
from .engine import ProcessEngine
from .presence import skip_without
from .pytest_docker_tools_patches import never_inside_a_container, quick_polling
from .rabbitmq import SERVER as RABBITMQ
from .waiting import wait_until
from .worker import QuickWorkerContainer

__all__ = [
    "broker",
    "celery_backend_cluster",
    "celery_broker_cluster",
    "default_worker_command",
    "default_worker_container",
    "default_worker_container_cls",
    "default_worker_container_session_cls",
    "default_worker_env",
    "default_worker_utils_module",
    "docker_client",
    "first_worker_container",
    "rabbitmq_of_the_session",
    "start_worker",
    "worker_args",
    "worker_env",
    "worker_pythonpath",
]


@pytest.fixture(scope="session")
def docker_client() -> Iterator[Engine]:
    """The engine that runs all nodes of this session."""
    engine = connect()
    with quick_polling():
        if isinstance(engine, ProcessEngine):
            with never_inside_a_container():
                yield engine
        else:
            yield engine
    engine.close()


@pytest.fixture
def broker() -> str:
    """Choose the broker: ``redis`` or ``rabbitmq``."""
    return "redis"


@pytest.fixture
def celery_broker_cluster(
    request: pytest.FixtureRequest, docker_client: Engine, broker: str
) -> Iterator[CeleryBrokerCluster]:
    """One node, as ``broker`` says."""
    if broker == "rabbitmq" and isinstance(docker_client, ProcessEngine):
        skip_without(RABBITMQ.exists(), "rabbitmq-server")
    cluster = CeleryBrokerCluster(request.getfixturevalue(f"celery_{broker}_broker"))
    yield cluster
    cluster.teardown()


@pytest.fixture(scope="session")
def rabbitmq_of_the_session(docker_client: Engine) -> Iterator[RabbitMQContainer]:
    """Run one RabbitMQ for all tests that leave it running: it needs five seconds to start."""
    raw = docker_client.containers.run(
        image=RabbitMQContainer.image(), ports=RabbitMQContainer.ports(), environment={}, detach=True
    )
    yield RabbitMQContainer(raw)
    raw.remove(force=True)


@pytest.fixture
def celery_backend_cluster(celery_redis_backend: RedisTestBackend) -> Iterator[CeleryBackendCluster]:
    """One Redis, not the broker's."""
    cluster = CeleryBackendCluster(celery_redis_backend)
    yield cluster
    cluster.teardown()


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    """Command line of every worker: here a pool of one child process."""
    return ("--pool", "prefork", "--concurrency", "1")


@pytest.fixture
def worker_env() -> dict[str, str]:
    """Environment of every worker, on top of what pytest-celery sets."""
    return {}


@pytest.fixture
def worker_pythonpath() -> tuple[str, ...]:
    """Directories every worker imports from, after its own."""
    return ()


@pytest.fixture
def default_worker_container_cls() -> type[CeleryWorkerContainer]:
    return QuickWorkerContainer


@pytest.fixture(scope="session")
def default_worker_container_session_cls() -> type[CeleryWorkerContainer]:
    return QuickWorkerContainer


@pytest.fixture
def default_worker_command(
    default_worker_container_cls: type[CeleryWorkerContainer], worker_args: tuple[str, ...]
) -> list[str]:
    command: list[str] = default_worker_container_cls.command(*worker_args)
    return command


@pytest.fixture
def default_worker_env(
    default_worker_env: dict[str, str], worker_env: dict[str, str], worker_pythonpath: tuple[str, ...]
) -> dict[str, str]:
    pythonpath = ":".join([default_worker_env["PYTHONPATH"], *worker_pythonpath])
    return {**default_worker_env, "PYTHONPATH": pythonpath, **worker_env}


@pytest.fixture
def default_worker_utils_module() -> Any:
    return process_listing


first_worker_container = container(
    image="{celery_base_worker_image.id}",
    ports=fxtr("default_worker_ports"),
    environment=fxtr("default_worker_env"),
    network="{default_pytest_celery_network.name}",
    volumes={"{default_worker_volume.name}": DEFAULT_WORKER_VOLUME},
    wrapper_class=QuickWorkerContainer,
    timeout=DEFAULT_WORKER_CONTAINER_TIMEOUT,
    command=fxtr("default_worker_command"),
)


@pytest.fixture
def default_worker_container(
    first_worker_container: QuickWorkerContainer, default_worker_container_cls: type[CeleryWorkerContainer]
) -> CeleryWorkerContainer:
    """The first worker, as an instance of the class the test module chose; pytest-celery fixes the class."""
    return default_worker_container_cls(first_worker_container._container)


@pytest.fixture
def start_worker(
    docker_client: Engine,
    celery_base_worker_image: Any,
    default_worker_volume: Any,
    default_worker_env: dict[str, str],
    default_pytest_celery_network: Any,
    default_worker_container_cls: type[CeleryWorkerContainer],
    default_worker_cls: type[CeleryTestWorker],
    worker_args: tuple[str, ...],
    celery_setup_app: Celery,
) -> Iterator[Callable[..., CeleryTestWorker]]:
    """Start another worker; its arguments follow ``worker_args`` on the command line."""
    started = []

    def start(*args: str) -> CeleryTestWorker:
        raw = docker_client.containers.run(
            image=celery_base_worker_image.id,
            command=default_worker_container_cls.command(*worker_args, *args),
            environment=default_worker_env,
            network=default_pytest_celery_network.name,
            volumes={default_worker_volume.name: DEFAULT_WORKER_VOLUME},
            detach=True,
        )
        started.append(raw)
        worker = default_worker_cls(default_worker_container_cls(raw), celery_setup_app)
        assert wait_until(worker.ready, timeout=DEFAULT_WORKER_CONTAINER_TIMEOUT), worker.logs()
        return worker

    yield start
    for raw in started:
        raw.remove(force=True)
