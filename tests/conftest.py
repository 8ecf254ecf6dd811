"""Fixtures that several folders share."""

import os
from collections.abc import Iterator

import pytest

from celery_inbox.embedded import Server
from nodes.plugin import *  # noqa: F403
from nodes.redis_server import SERVER_VARIABLE, VERSIONS, server_of


def pytest_configure() -> None:
    """Choose the server of this session: Valkey from the wheel, whatever else is installed, or what was asked for."""
    asked = os.environ.get(SERVER_VARIABLE) or "valkey:9"
    os.environ[SERVER_VARIABLE] = str(server_of(asked)) if asked in VERSIONS else asked


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """Run one real server for all tests that leave it running."""
    with Server() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """Name the shared server; a test keeps to its own namespace."""
    return redis_server.url
