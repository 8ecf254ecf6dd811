"""Every fault of a Redis server is one."""

from collections.abc import Iterator

import pytest
from redis import OutOfMemoryError, Redis, RedisError

from celery_inbox.embedded import Server
from faults.redis_server import empty, end, follow, full, is_caught_up, kill_clients, promote, scripts_forgotten
from waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a server whose writes outlive it."""
    with Server(appendonly=True) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    """Connect the tester."""
    with Redis.from_url(server.url) as client:
        client.flushdb()
        yield client


def test_kill_clients_spares_the_caller(server: Server, client: Redis) -> None:
    """All others are cut, subscribers too."""
    with Redis.from_url(server.url) as other, other.pubsub() as listener:
        listener.subscribe("anything")
        other.ping()
        before = {each["id"] for each in client.client_list()}
        assert len(before) == 3
        assert kill_clients(client) == 2
        assert {each["id"] for each in client.client_list()} & before == {str(client.client_id())}


def test_scripts_are_forgotten_again_and_again(server: Server, client: Redis) -> None:
    """A script loaded meanwhile is gone in a moment; afterwards it stays."""
    with Redis.from_url(server.url) as own, scripts_forgotten(own) as flushes:
        for _ in range(3):
            sha = client.script_load("return 1")
            wait_until(lambda sha=sha: client.script_exists(sha) == [False], description="the script is forgotten")  # type: ignore[misc]
        assert flushes.done >= 3
    sha = client.script_load("return 1")
    assert client.script_exists(sha) == [True]


def test_an_emptied_database_has_no_keys(client: Redis) -> None:
    """The reply is how many it had."""
    client.mset({"a": 1, "b": 2})
    assert empty(client) == 2
    assert client.dbsize() == 0


@pytest.mark.parametrize("kill", [True, False], ids=["SIGKILL", "stop"])
def test_a_server_that_ended_comes_back_with_what_it_had(server: Server, client: Redis, kill: bool) -> None:
    """By its append-only file, under another process id; meanwhile nobody answers."""
    client.set("kept", 1)
    before = server.pid
    end(server, kill=kill)
    with pytest.raises(RedisError):
        Redis.from_url(server.url).get("kept")
    server.start()
    assert client.get("kept") == b"1"
    assert server.pid != before


def test_a_full_server_refuses_writes_and_no_reads(client: Redis) -> None:
    """Until the end of the block."""
    client.set("old", 1)
    with full(client):
        with pytest.raises(OutOfMemoryError):
            client.set("new", 1)
        assert client.get("old") == b"1"
    assert client.set("new", 1)


def test_a_promoted_replica_has_everything_and_takes_writes(server: Server, client: Redis) -> None:
    """Before that it refuses them."""
    client.set("copied", 1)
    with Server() as second, Redis.from_url(second.url) as replica:
        follow(replica, server)
        assert is_caught_up(replica)
        assert replica.get("copied") == b"1"
        with pytest.raises(RedisError, match="read only"):
            replica.set("own", 1)
        promote(replica)
        assert replica.set("own", 1)
        assert client.get("own") is None
