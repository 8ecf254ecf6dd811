"""A data server whose writes outlive it, apart from the broker, and workers that serve two inboxes in it."""

import importlib.util
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kombu import Connection
from pytest_celery import CeleryTestSetup, CeleryTestWorker, RabbitMQContainer, RabbitMQTestBroker

from celery_inbox.embedded import Server
from celery_inbox.store.keys import COMMAND_PARTITION
from crash.scene import BACKOFF, SETTINGS, Scene


@pytest.fixture(scope="session")
def data_server() -> Iterator[Server]:
    """Run the server in which the sessions live."""
    with Server(appendonly=True) as server:
        yield server


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings of both inboxes, on top of this folder's; a module overrides them."""
    return {}


@pytest.fixture
def handler() -> dict[str, Any]:
    """Options of all handlers, on top of this folder's; a module overrides them."""
    return {}


@pytest.fixture
def conf() -> dict[str, Any]:
    """Configuration of the worker's app; a module overrides it. kombu's visibility_timeout stays as it is: an hour."""
    return {}


@pytest.fixture
def told(
    tmp_path: Path,
    data_server: Server,
    settings: dict[str, Any],
    handler: dict[str, Any],
    conf: dict[str, Any],
) -> dict[str, Any]:
    """What the workers are told."""
    marks = tmp_path / "marks"
    marks.mkdir()
    return {
        "history": str(tmp_path / "history"),
        "marks": str(marks),
        "settings": {
            **SETTINGS,
            "redis_url": data_server.url,
            "namespace": f"crash-{uuid.uuid4().hex}",
            **settings,
        },
        "handler": {"backoff": BACKOFF, **handler},
        "conf": conf,
    }


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    """The app, found and not imported: only a worker can run it."""
    spec = importlib.util.find_spec("crash.app")
    assert spec is not None
    return importlib.util.module_from_spec(spec)


@pytest.fixture
def serves() -> str:
    """What ``--inbox`` would say; a module overrides it."""
    return "chat=all,command limited=all"


@pytest.fixture
def worker_pythonpath() -> tuple[str, ...]:
    """The app strikes at the points of ``faults``."""
    return (str(Path(__file__).parents[1]),)


@pytest.fixture
def worker_env(told: dict[str, Any], serves: str) -> dict[str, str]:
    """Tell the workers."""
    return {"CRASH_SCENE": json.dumps(told), "CELERY_INBOX": serves}


@pytest.fixture
def celery_rabbitmq_broker(rabbitmq_of_the_session: RabbitMQContainer) -> RabbitMQTestBroker:
    """The session's RabbitMQ, without the queues that another test may have declared in another way."""
    broker = RabbitMQTestBroker(rabbitmq_of_the_session)
    partitions = [*map(str, range(SETTINGS["partitions"])), COMMAND_PARTITION]
    with Connection(broker.config()["host_url"]) as connection:
        for queue in (
            "celery",
            *(f"{inbox}.{partition}" for inbox in ("chat", "limited", "calm") for partition in partitions),
        ):
            connection.default_channel.queue_delete(queue)
    return broker


@pytest.fixture
def scene(
    celery_setup: CeleryTestSetup, told: dict[str, Any], start_worker: Callable[..., CeleryTestWorker]
) -> Iterator[Scene]:
    """Open the scene: one worker is ready."""
    scene = Scene(celery_setup, told, start_worker)
    yield scene
    scene.close()
