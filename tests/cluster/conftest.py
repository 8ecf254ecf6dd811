"""A cluster for the tests that leave it running, and stores in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.cluster import Cluster, cluster
from store.conftest import pytest_configure, redis_scene, redis_store, scene, store, terms

__all__ = ["pytest_configure", "redis_scene", "redis_store", "scene", "store", "terms"]


@pytest.fixture(scope="session")
def three_nodes() -> Iterator[Cluster]:
    """Run three primaries for all tests that leave them running and their slots where they are."""
    with cluster() as found:
        yield found


@pytest.fixture
def redis_url(three_nodes: Cluster) -> str:
    """Name the cluster where other folders name a server."""
    return three_nodes.url
