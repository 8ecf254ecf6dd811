"""Every change of kicks in a broker is one."""

import json
import random
from collections.abc import Iterator

import pytest
from redis import Redis

from faults.kicks import STRANGE_TASK, delete, double, misaddress, reorder, stray

QUEUE = "kicks-test"


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """Lay five kicks into a queue."""
    with Redis.from_url(redis_url) as broker:
        broker.rpush(QUEUE, *[stray(QUEUE, f"task-{number}") for number in range(5)])
        yield broker
        broker.delete(QUEUE)


def tasks(broker: Redis) -> list[str]:
    return [json.loads(kick)["headers"]["task"] for kick in broker.lrange(QUEUE, 0, -1)]


def test_kicks_are_deleted(broker: Redis) -> None:
    """All of them; an empty queue has none."""
    assert delete(broker, QUEUE) == 5
    assert tasks(broker) == []
    assert delete(broker, QUEUE) == 0


def test_kicks_are_doubled(broker: Redis) -> None:
    """Under the same ids."""
    before = broker.lrange(QUEUE, 0, -1)
    assert double(broker, QUEUE) == 5
    assert sorted(broker.lrange(QUEUE, 0, -1)) == sorted([*before, *before])


def test_kicks_are_reordered(broker: Redis) -> None:
    """The same ones, in another order."""
    before = tasks(broker)
    assert reorder(broker, QUEUE, random.Random(1)) == 5
    assert tasks(broker) != before
    assert sorted(tasks(broker)) == before


def test_kicks_are_sent_to_a_task_that_nobody_knows(broker: Redis) -> None:
    """Every one."""
    assert misaddress(broker, QUEUE) == 5
    assert tasks(broker) == [STRANGE_TASK] * 5
