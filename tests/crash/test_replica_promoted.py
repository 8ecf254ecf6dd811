"""A replica takes the primary's place."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from celery_inbox.embedded import Server
from crash.load import Load
from crash.scene import Scene
from faults.proxy import Proxy
from faults.redis_server import end, follow, promote
from waiting import wait_until

GOES_ON = 30.0


@pytest.fixture
def primary() -> Iterator[Server]:
    with Server(appendonly=True) as server:
        yield server


@pytest.fixture
def replica() -> Iterator[Server]:
    with Server(appendonly=True) as server:
        yield server


@pytest.fixture
def new(primary: Server, replica: Server) -> Iterator[Redis]:
    """Have it follow the primary; a client that knows its password."""
    with Redis.from_url(replica.url) as client:
        follow(client, primary)
        yield client


@pytest.fixture
def proxy(primary: Server) -> Iterator[Proxy]:
    """The address that everybody knows."""
    with Proxy(primary.url) as proxy:
        yield proxy


@pytest.fixture
def settings(proxy: Proxy) -> dict[str, Any]:
    return {"redis_url": proxy.url}


def test_a_replica_that_has_everything_goes_on_with_everything(
    scene: Scene, primary: Server, replica: Server, new: Redis, proxy: Proxy
) -> None:
    """FOV-1, its other half: caught up, the replica lets nothing be lost or doubled; fences grow across the change."""
    with Redis.from_url(primary.url) as old:
        with Load(scene) as load:
            load.wait_for_handled(10, timeout=GOES_ON)
            running = [scene.send("running", do="wait", until="go", flush=True).id]
            scene.wait_for_runs("running", 1)
            proxy.black_hole()
            wait_until(lambda: proxy.swallowed > 0, description="somebody has called in vain")
            old.execute_command("WAIT", 1, 5000)
            highest = max(run.start.fence for run in scene.runs())
            promote(new)
            end(primary, kill=True)
            proxy.lead_to(replica.url)
            proxy.heal()
            assert not primary.is_running
            scene.mark("go")
            scene.wait_for_handled("running", running)
            assert len(scene.runs("running")) == 1
            load.wait_for_handled(20, timeout=GOES_ON)
        load.wait_for_all(timeout=GOES_ON)
        assert new.info("server")["process_id"] == replica.pid
        later = [run.start.fence for run in scene.runs() if run.start.fence > highest]
        assert len(later) >= 3
        for session in load.ids:
            fences = [run.start.fence for run in scene.runs(session)]
            assert fences == sorted(set(fences))
    scene.assert_clean()
