"""Every fault that the proxy injects is one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celery_inbox.embedded import Server
from faults.proxy import Proxy
from waiting import wait_until


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    """Put a proxy before the shared server."""
    with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    """Connect a client that never tries twice."""
    client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.3)
    client.ping()
    yield client
    proxy.heal()
    client.close()


def test_without_a_fault_everything_passes(proxy: Proxy, client: redis.Redis) -> None:
    """Large values too."""
    client.set("proxy-test", b"x" * 1_000_000, px=5_000)
    assert client.get("proxy-test") == b"x" * 1_000_000
    assert (proxy.dropped, proxy.cuts, proxy.swallowed) == (0, 0, 0)


def test_round_trips_are_counted(proxy: Proxy, client: redis.Redis) -> None:
    """A pipeline is one."""
    before = proxy.round_trips
    client.ping()
    client.ping()
    assert proxy.round_trips == before + 2
    pipeline = client.pipeline(transaction=False)
    for _ in range(3):
        pipeline.ping()
    pipeline.execute()
    assert proxy.round_trips == before + 3


def test_cut_ends_the_connections(proxy: Proxy, client: redis.Redis) -> None:
    """Who waits for a reply is told by the network; who connects anew is served."""
    parts = urlsplit(proxy.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as waiting:
        wait_until(lambda: proxy.connections == 2, description="the proxy accepted the second connection")
        assert proxy.cut() == 2
        assert waiting.recv(1) == b""
    assert client.ping()
    assert proxy.connections == 3


def test_drop_reply_lets_the_server_act(proxy: Proxy, client: redis.Redis, redis_url: str) -> None:
    """The client hears nothing, the command was executed."""
    with redis.Redis.from_url(redis_url) as direct:
        direct.set("proxy-test-count", 0, px=5_000)
        proxy.drop_reply(1)
        with pytest.raises(redis.ConnectionError):
            client.incr("proxy-test-count")
        assert proxy.dropped == 1
        assert direct.get("proxy-test-count") == b"1"
        assert client.incr("proxy-test-count") == 2


def test_delay_holds_replies_back(proxy: Proxy, client: redis.Redis) -> None:
    """By at least what was asked for."""
    proxy.delay(100)
    started = time.monotonic()
    client.ping()
    assert time.monotonic() - started >= 0.1


def test_a_black_hole_answers_nobody(proxy: Proxy, client: redis.Redis) -> None:
    """The connection stays, the client runs into its timeout; after healing it works."""
    proxy.black_hole()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    assert proxy.swallowed > 0
    proxy.heal()
    assert client.ping()


def test_a_proxy_can_lead_elsewhere(proxy: Proxy, client: redis.Redis) -> None:
    """Old connections end, new ones reach the other server."""
    with Server() as other:
        with redis.Redis.from_url(other.url) as direct:
            direct.config_set("requirepass", urlsplit(proxy.url).password or "")
        proxy.lead_to(other.url)
        assert client.info("server")["process_id"] == other.pid
