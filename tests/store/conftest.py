"""Both stores, each on a namespace of its own that must be clean when the test ends."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from celery_inbox.settings import Settings
from celery_inbox.store.memory import MemoryStore
from celery_inbox.store.moves import Store, Terms
from celery_inbox.store.redis import RedisStore
from store.scene import Scene
from store.snapshot import leaks, sweep


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker that gives a test its settings."""
    config.addinivalue_line("markers", "settings(**settings): settings of the store that the test gets")


@pytest.fixture
def terms(request: pytest.FixtureRequest) -> Terms:
    """Read the test's ``settings`` mark; one partition, a lease of 30 s."""
    marks = [mark.kwargs for mark in request.node.iter_markers("settings")]
    given = {name: value for mark in reversed(marks) for name, value in mark.items()}
    return Terms.of(Settings(**{"partitions": 1, **given}))


@pytest.fixture
def redis_store(redis_url: str, terms: Terms) -> Iterator[RedisStore]:
    """Open a store in Redis; afterwards no key may be left that should not be."""
    store = RedisStore(redis_url, f"test-{uuid.uuid4().hex}", "inbox", terms, socket_timeout=4)
    try:
        yield store
        assert leaks(store) == []
    finally:
        sweep(store)


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, terms: Terms) -> Store:
    """Open a store of each kind."""
    if request.param == "memory":
        return MemoryStore(terms)
    redis_store: RedisStore = request.getfixturevalue("redis_store")
    return redis_store


@pytest.fixture
def scene(store: Store) -> Scene:
    """Open a scene on each store."""
    return Scene(store)


@pytest.fixture
def redis_scene(redis_store: RedisStore) -> Scene:
    """Open a scene on Redis alone."""
    return Scene(redis_store)
