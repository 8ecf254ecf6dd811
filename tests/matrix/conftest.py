"""Cells that the versions installed here can run, and the nodes that a cell asks for."""

import os
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from celery_inbox.embedded import Server
from crash.conftest import (
    celery_rabbitmq_broker,
    default_worker_app_module,
    handler,
    scene,
    settings,
    told,
    worker_env,
    worker_pythonpath,
)
from matrix.cells import PAIRS, Cell, all_cells
from nodes.presence import skip_without
from nodes.redis_server import SERVER_VARIABLE, server_of

__all__ = [
    "celery_rabbitmq_broker",
    "default_worker_app_module",
    "handler",
    "scene",
    "settings",
    "told",
    "worker_env",
    "worker_pythonpath",
]

FULL = "CELERY_INBOX_MATRIX"
"""Environment variable: ``full`` runs every combination instead of every pair."""
LOWEST = dict(re.findall(r"^(\S+)==(\S+)$", (Path(__file__).parent / "lowest.txt").read_text(), re.MULTILINE))
SLOTS = {"prefork": "2", "solo": "1", "threads": "1", "gevent": "8"}


def installed() -> str:
    """The versions that this Python has."""
    return "lowest" if all(version(name) == pinned for name, pinned in LOWEST.items()) else "newest"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its cells; those of the other versions belong to another environment."""
    if "cell" in metafunc.fixturenames:
        cells = all_cells() if os.environ.get(FULL) == "full" else PAIRS
        metafunc.parametrize("cell", [cell for cell in cells if cell.versions == installed()], ids=str)


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Server]]:
    """Data servers by image, each started for the first cell that asks for it."""
    started: dict[str, Server] = {}
    yield started
    for server in started.values():
        server.close()


@pytest.fixture
def data_server(servers: dict[str, Server], cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Run the server of this cell."""
    if cell.server == "redis:7":
        skip_without(shutil.which("redis-server") is not None, "redis-server")
    if cell.server not in servers:
        with monkeypatch.context() as patch:
            patch.setenv(SERVER_VARIABLE, str(server_of(cell.server)))
            server = Server(appendonly=True)
            server.start()
            servers[cell.server] = server
    return servers[cell.server]


@pytest.fixture
def broker(cell: Cell) -> str:
    return "redis" if cell.broker == "redis" else "rabbitmq"


@pytest.fixture
def default_redis_broker_image(cell: Cell) -> str:
    return cell.server


@pytest.fixture
def conf(cell: Cell) -> dict[str, Any]:
    return {"task_default_queue_type": "quorum"} if cell.broker == "quorum" else {}


@pytest.fixture
def serves(cell: Cell) -> str:
    """Async handlers where there may be any."""
    return "chat=all,command limited=all" + " calm=all" * (cell.pool != "gevent")


@pytest.fixture
def worker_args(cell: Cell) -> tuple[str, ...]:
    return ("--pool", cell.pool, "--concurrency", SLOTS[cell.pool])
