"""Workers that serve an inbox, the inbox as a producer sees it, and the history of both."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from celery import Celery
from pytest_celery import DEFAULT_WORKER_VOLUME, CeleryTestSetup, CeleryWorkerContainer

from celery_inbox import Inbox, Receipt
from celery_inbox.testing import History
from nodes.connect import Engine
from waiting import wait_until

from .follow import Follower

BOTS = Path(__file__).parent / "bots"
OF_INBOX = ("config", "workers", "serves", "sharers", "owners", "proofs")
STAYS = (*OF_INBOX, "counts", "fence", "settled", "state", "generated", "stopping")
"""Keys of the inbox and of a partition that outlive sessions; what may stay of a session expires by itself."""
DEFAULTS = {"debounce": 0.3, "max_wait": 1.5, "lease": 2.0, "dispatch_interval": 0.5}
EXIT_TIMEOUT = 30.0  # seconds
CLEAN_UP = 10.0  # seconds in which the last ack and the last kick come to rest

Send = Callable[..., Receipt]
Refused = Callable[..., tuple[int, str]]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaves_work: the test ends while messages wait; their keys go with its server")
    config.addinivalue_line("markers", "handlers(**inboxes): options of the steered bot's handlers, by inbox")
    config.addinivalue_line("markers", "settings(**settings): of the inbox, in worker and producer")


def bot(name: str) -> ModuleType:
    """A module of ``bots``, not executed: a worker gets its source."""
    spec = importlib.util.spec_from_file_location(name, BOTS / f"{name}.py")
    assert spec is not None
    return importlib.util.module_from_spec(spec)


@pytest.fixture
def inbox_conf(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The app's configuration of the inbox: short times, and what the test's marks say."""
    settings = dict(DEFAULTS)
    for mark in reversed(list(request.node.iter_markers("settings"))):
        settings.update(mark.kwargs)
    return {f"inbox_{name}": value for name, value in settings.items()}


@pytest.fixture
def first_worker_args() -> tuple[str, ...]:
    """What the first worker's command line has and that of the others has not."""
    return ("--inbox", "all")


@pytest.fixture
def default_worker_command(
    default_worker_container_cls: type[CeleryWorkerContainer],
    worker_args: tuple[str, ...],
    first_worker_args: tuple[str, ...],
) -> list[str]:
    command: list[str] = default_worker_container_cls.command(*worker_args, *first_worker_args)
    return command


@pytest.fixture
def default_worker_app(default_worker_app: Celery, inbox_conf: dict[str, Any]) -> Celery:
    default_worker_app.conf.update(inbox_conf)
    return default_worker_app


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("obedient")


@pytest.fixture
def history(tmp_path: Path) -> History:
    """What senders and handlers of this test did."""
    return History(tmp_path / "history")


@pytest.fixture
def notes_path(tmp_path: Path) -> Path:
    """What the bot noted besides."""
    return tmp_path / "notes"


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where the steered bot looks for the marks that it waits for: empty files."""
    path = tmp_path / "marks"
    path.mkdir()
    return path


@pytest.fixture
def worker_env(history: History, notes_path: Path, marks: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    handlers: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("handlers"))):
        handlers.update(mark.kwargs)
    paths = {"HISTORY": str(history.path), "NOTES": str(notes_path), "MARKS": str(marks)}
    return {**paths, "HANDLERS": json.dumps(handlers or {"chat": {}})}


@pytest.fixture
def follower(history: History) -> Follower:
    """The history, read as it grows."""
    return Follower(history)


@pytest.fixture
def inbox(celery_setup: CeleryTestSetup) -> Inbox:
    """The inbox of the worker, on the producer's side."""
    return Inbox(celery_setup.app, "chat")


@pytest.fixture
def data(inbox: Inbox, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client of the server where the sessions live; after the test nothing of them may be left there."""
    client = redis.Redis.from_url(inbox.settings.redis_url or inbox.app.conf.broker_url, decode_responses=True)
    yield client
    if request.node.get_closest_marker("leaves_work") is None:
        with suppress(AssertionError):  # the assertion beneath says which
            wait_until(lambda: not left_behind(client), description="no key of a session is left", timeout=CLEAN_UP)
        assert left_behind(client) == []
    client.close()


@pytest.fixture
def send(inbox: Inbox, data: redis.Redis, history: History) -> Send:
    """Send, and record that the send returned."""

    def send(session: str, body: Any, **options: Any) -> Receipt:
        receipt = inbox.send(session, body, **options)
        history.sent(session, receipt)
        return receipt

    return send


@pytest.fixture
def refused(
    docker_client: Engine,
    default_worker_container_cls: type[CeleryWorkerContainer],
    worker_args: tuple[str, ...],
    celery_base_worker_image: Any,
    default_worker_volume: Any,
    default_worker_env: dict[str, str],
    default_pytest_celery_network: Any,
) -> Iterator[Refused]:
    """Start workers that should not start; the reply is exit code and log."""
    started = []

    def start(*args: str) -> tuple[int, str]:
        raw = docker_client.containers.run(
            image=celery_base_worker_image.id,
            command=default_worker_container_cls.command(*worker_args, *args),
            environment=default_worker_env,
            network=default_pytest_celery_network.name,
            volumes={default_worker_volume.name: DEFAULT_WORKER_VOLUME},
            detach=True,
        )
        started.append(raw)
        return int(raw.wait(timeout=EXIT_TIMEOUT)["StatusCode"]), raw.logs().decode()

    yield start
    for raw in started:
        raw.remove(force=True)


def left_behind(client: redis.Redis) -> list[str]:
    """Keys of the inbox that no promise explains: neither of a partition nor with a time to live."""
    keys = list(client.scan_iter("celery-inbox:*", count=1000))
    return [key for key in keys if not stays(key) and client.ttl(key) == -1]


def stays(key: str) -> bool:
    """Whether a key is the inbox's or a partition's, which outlive sessions."""
    return key.rpartition(":")[2] in STAYS
