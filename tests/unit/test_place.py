"""What an address of Redis may look like, and what is read from it."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_inbox import Inbox
from celery_inbox.errors import ConfigurationError
from celery_inbox.store.place import Place, place, redis_url, without_password

SENTINELS = (("one", 26379), ("::1", 5))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "redis+cluster://user:p%40ss@one:7000,two/0?max_connections=9",
            Place(
                "cluster",
                (("one", 7000), ("two", 6379)),
                options={"username": "user", "password": "p@ss", "max_connections": 9},
            ),
        ),
        (
            "rediss+cluster://one?ssl_ca_certs=ca.pem",
            Place(
                "cluster",
                (("one", 6379),),
                options={"ssl": True, "ssl_ca_certs": "ca.pem"},
                of_sentinels={"ssl": True, "ssl_ca_certs": "ca.pem"},
            ),
        ),
        (
            "redis+sentinel://:secret@one,[::1]:5/my%20primary/3?sentinel_password=other",
            Place(
                "sentinel",
                SENTINELS,
                "my primary",
                options={"password": "secret", "db": 3},
                of_sentinels={"password": "other"},
            ),
        ),
        (
            "rediss+sentinel://one,[::1]:5/p",
            Place("sentinel", SENTINELS, "p", options={"ssl": True}, of_sentinels={"ssl": True}),
        ),
    ],
)
def test_an_address_is_taken_apart(url: str, expected: Place) -> None:
    """Hosts and options as redis-py names them; TLS for Sentinels as for the primary."""
    assert redis_url(url) == url
    assert place(url) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+cluster://one/1", "has no database but 0"),
        ("redis+cluster:///", "names no host"),
        ("redis+cluster://one,:6379", "names no host"),
        ("redis+cluster://one:port", "no address of a Redis"),
        ("redis+sentinel://one", "names its primary"),
        ("redis+sentinel://one/p/first", "names its primary"),
        ("redis+sentinel://one/p/1/2", "names its primary"),
        ("sentinel://one:26379", "set master_name in broker_transport_options"),
        ("amqp://one", "set inbox_redis_url to redis://"),
        ("cluster://one", "redis\\+cluster://"),
        ("", "set inbox_redis_url"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, reason: str) -> None:
    """When the setting is read, with what it should be."""
    with pytest.raises(ConfigurationError, match=reason):
        redis_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://:secret@one:26379/2;sentinel://:secret@two:26379",
        ["sentinel://:secret@one:26379", "sentinel://:secret@two:26379/2"],
    ],
)
def test_a_broker_behind_sentinel_can_hold_the_sessions(url: Any) -> None:
    """Kombu's form, whose primary stands in the transport options."""
    options = {"master_name": "mine", "sentinel_kwargs": {"password": "o/th&er"}}
    found = place(redis_url(url, options))
    assert found.hosts == (("one", 26379), ("two", 26379))
    assert (found.service, found.options) == ("mine", {"password": "secret", "db": 2})
    assert found.of_sentinels == {"password": "o/th&er"}


@pytest.mark.parametrize("elsewhere", [{}, {"redis_url": "redis://127.0.0.1/0"}])
def test_no_broker_is_a_cluster(elsewhere: dict[str, str]) -> None:
    """Celery has none; the error says what to set instead."""
    inbox = Inbox(Celery("broker", broker="redis+cluster://one,two", set_as_current=False), "chat", **elsewhere)
    with pytest.raises(ConfigurationError, match="set broker_url to a Redis of its own or to RabbitMQ"):
        inbox.send("s", "hello")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@one:1/0", "redis://user:**@one:1/0"),
        ("redis+cluster://:secret@one:1,two:2", "redis+cluster://:**@one:1,two:2"),
        ("redis+sentinel://one/p?sentinel_password=secret&db=1", "redis+sentinel://one/p?sentinel_password=**&db=1"),
        ("sentinel://:secret@one:1;sentinel://:secret@two:2", "sentinel://:**@one:1;sentinel://:**@two:2"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock?password=**"),
        (["redis://:secret@one", "redis://two"], "redis://:**@one;redis://two"),
    ],
)
def test_no_password_is_shown(url: Any, shown: str) -> None:
    """In any form."""
    assert without_password(url) == shown
