"""What the inbox runs on: the ways that combine, and a dozen cells in which every two of them meet."""

from itertools import product
from typing import NamedTuple


class Cell(NamedTuple):
    """One combination."""

    broker: str
    """Redis, or RabbitMQ with queues of that type."""
    pool: str
    server: str
    """Where the sessions live, and the broker when that is Redis: an image's name."""
    versions: str
    """Of Celery, kombu, redis-py: those in lowest.txt, or what pip finds."""

    def __str__(self) -> str:
        return "-".join(self)


WAYS = Cell(
    ("redis", "classic", "quorum"),  # type: ignore[arg-type]
    ("prefork", "solo", "threads", "gevent"),  # type: ignore[arg-type]
    ("redis:7", "valkey:9"),  # type: ignore[arg-type]
    ("lowest", "newest"),  # type: ignore[arg-type]
)

PAIRS = [
    Cell("redis", "prefork", "redis:7", "lowest"),
    Cell("redis", "solo", "valkey:9", "newest"),
    Cell("redis", "threads", "valkey:9", "lowest"),
    Cell("redis", "gevent", "redis:7", "newest"),
    Cell("classic", "prefork", "valkey:9", "newest"),
    Cell("classic", "solo", "redis:7", "lowest"),
    Cell("classic", "threads", "redis:7", "newest"),
    Cell("classic", "gevent", "valkey:9", "lowest"),
    Cell("quorum", "prefork", "redis:7", "newest"),
    Cell("quorum", "solo", "valkey:9", "lowest"),
    Cell("quorum", "threads", "redis:7", "lowest"),
    Cell("quorum", "gevent", "valkey:9", "newest"),
]
"""Brokers times pools are twelve, so no shorter table has all pairs."""


def all_cells() -> list[Cell]:
    """Every combination."""
    return [Cell(*ways) for ways in product(*WAYS)]
