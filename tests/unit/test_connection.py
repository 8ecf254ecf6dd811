"""Addresses of Redis: what is read, and what newcomers get wrong."""

from typing import Any

import pytest
from celery import Celery

from celery_inbox import ConfigurationError, Inbox
from celery_inbox.store.place import redis_url


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://", "redis://"),
        ("rediss://:secret@host:6380/15?ssl_cert_reqs=none", "rediss://:secret@host:6380/15?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
        ("redis+socket:///run/redis.sock?virtual_host=3", "unix:///run/redis.sock?db=3"),
        ("redis://one/0;redis://two/0", "redis://one/0"),
        (["redis://one/0", "redis://two/0"], "redis://one/0"),
    ],
    ids=str,
)
def test_addresses_of_redis_are_read(given: Any, read: str) -> None:
    """Celery's forms too; of several brokers the first."""
    assert redis_url(given) == read


MISTAKES: list[tuple[Any, str]] = [
    ("reddis://localhost:6379/0", "begins with 'reddis://'"),
    ("http://localhost", "begins with 'http://'"),
    ("amqp://guest@localhost//", "begins with 'amqp://'"),
    (":secret@localhost:6379", "begins with 'no scheme'"),
    ("redis://localhost:port/0", "Port could not be cast"),
    ("redis://localhost:99999/0", "Port out of range"),
    ("redis://[::1/0", "Invalid IPv6 URL"),
    ("redis://:secret@localhost/sessions", "its database is 'sessions'"),
    ("redis://localhost/0/1", "its database is '0/1'"),
    ("redis://localhost/0?socket_timeout=soon", "socket_timeout"),
    ("redis://localhost/0?nonsense=1", "nonsense"),
    ("rediss://localhost/0?ssl_cert_reqs=perhaps", "perhaps"),
    (5, "its address is int, not text"),
    (b"redis://localhost", "its address is bytes, not text"),
    ({"a": 1}, "its address is dict, not text"),
]


@pytest.mark.parametrize(("given", "said"), MISTAKES, ids=[str(given) for given, _ in MISTAKES])
def test_what_is_no_address_is_refused_by_the_first_call(given: Any, said: str) -> None:
    """What is wrong, and what to set; nothing that may be a password."""
    inbox = Inbox(Celery("wrong", broker="redis://localhost", set_as_current=False), "chat", redis_url=given)
    with pytest.raises(ConfigurationError, match="inbox_redis_url") as refused:
        inbox.send("s", "hi")
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("broker", ["amqp://guest@localhost//", "memory://", "sqs://"])
def test_a_broker_that_is_no_redis_needs_an_address_of_one(broker: str) -> None:
    """The error says which setting."""
    inbox = Inbox(Celery("elsewhere", broker=broker, set_as_current=False), "chat")
    with pytest.raises(ConfigurationError, match="set inbox_redis_url to redis://, rediss:// or unix://"):
        inbox.send("s", "hi")
