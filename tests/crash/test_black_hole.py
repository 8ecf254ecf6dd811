"""Everything that workers say to Redis or to their broker is swallowed for a while, and nobody is told."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_celery import CeleryBrokerCluster

from celery_inbox.embedded import Server
from crash.load import Load
from crash.scene import Scene, main_pid, now_ms
from faults.proxy import Proxy
from long import LONG
from waiting import wait_until

GOES_ON = 30.0
"""Seconds after the fault."""
SILENT = 10.0 if LONG else 4.0
TIMES = 2 if LONG else 1


@pytest.fixture(params=["data", "redis", "rabbitmq"])
def swallowed(request: pytest.FixtureRequest) -> str:
    """What cannot be reached: the server of the sessions, or a broker of that kind."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def broker(swallowed: str) -> str:
    return "rabbitmq" if swallowed == "rabbitmq" else "redis"


@pytest.fixture
def proxy(swallowed: str, data_server: Server, celery_broker_cluster: CeleryBrokerCluster) -> Iterator[Proxy]:
    url = data_server.url if swallowed == "data" else celery_broker_cluster[0].config()["host_url"]
    with Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def settings(swallowed: str, proxy: Proxy) -> dict[str, Any]:
    return {"socket_timeout": 1.0, **({"redis_url": proxy.url} if swallowed == "data" else {})}


@pytest.fixture
def worker_env(worker_env: dict[str, str], swallowed: str, proxy: Proxy) -> dict[str, str]:
    return worker_env if swallowed == "data" else {**worker_env, "CELERY_BROKER_URL": proxy.url}


def test_a_black_hole_under_load_loses_and_doubles_nothing(scene: Scene, proxy: Proxy, swallowed: str) -> None:
    """STK-9: workers go on by themselves when it ends; sends notice only if it is Redis that is gone."""
    pid = main_pid(scene.worker)
    with Load(scene) as load:
        for _ in range(TIMES):
            load.wait_for_handled(10, timeout=GOES_ON)
            before, began_at = proxy.swallowed, now_ms()
            proxy.black_hole()
            wait_until(
                lambda began_at=began_at: now_ms() - began_at > SILENT * 1000,  # type: ignore[misc]
                description="it was silent for a while",
                timeout=SILENT + 5,
            )
            assert proxy.swallowed > before
            proxy.heal()
            load.wait_for_handled(10, timeout=GOES_ON)
        assert (load.refused > 0) == (swallowed == "data")
    load.wait_for_all(timeout=GOES_ON)
    assert main_pid(scene.worker) == pid
    scene.assert_clean()
