"""Fixtures that several folders share."""

from collections.abc import Iterator

import pytest

from celery_inbox.embedded import Server
from nodes.plugin import *  # noqa: F403


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """Run one real server for all tests that leave it running."""
    with Server() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """Name the shared server; a test keeps to its own namespace."""
    return redis_server.url
