"""Redis does what workers and senders ask for, and they do not hear of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from celery_inbox.embedded import Server
from crash.load import Load
from crash.scene import Scene
from faults.proxy import Proxy
from waiting import wait_until

GOES_ON = 30.0
DROPS = 40


@pytest.fixture
def proxy(data_server: Server) -> Iterator[Proxy]:
    """Everybody but the tester's hand goes this way."""
    with Proxy(data_server.url) as proxy:
        yield proxy


@pytest.fixture
def settings(proxy: Proxy) -> dict[str, Any]:
    return {"redis_url": proxy.url}


def test_dropped_replies_under_load_lose_and_double_nothing(scene: Scene, proxy: Proxy) -> None:
    """Section 4: claims, acks and sends are recognised when they come twice; nobody was killed, so no message is."""
    with Load(scene) as load:
        load.wait_for_handled(10, timeout=GOES_ON)
        for drop in range(1, DROPS + 1):
            proxy.drop_reply()
            wait_until(lambda drop=drop: proxy.dropped >= drop, description="a reply was dropped")  # type: ignore[misc]
        load.wait_for_handled(10, timeout=GOES_ON)
    load.wait_for_all(timeout=GOES_ON)
    assert proxy.dropped == DROPS
    scene.assert_clean()
