"""How long the server works on one call, by its own slow log."""

from collections.abc import Callable, Iterable
from typing import Any

import redis

MOST_MS = 50.0
"""Milliseconds that one call may take; every other client waits meanwhile."""


class SlowLog:
    """Every call of a server, with what it took there; the network and this process take no part."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        client.config_set("slowlog-log-slower-than", 0)
        client.config_set("slowlog-max-len", 100_000)
        self.found: dict[str, float] = {}
        """The longest call of each move, ms."""

    def longest(self, move: Callable[[], Any]) -> float:
        """Make a move; what its longest script call took, ms."""
        self.client.slowlog_reset()
        move()
        calls: list[Any] = self.client.slowlog_get(100_000)
        scripts: list[float] = [
            call["duration"] / 1000 for call in calls if call["command"].startswith((b"EVALSHA", b"SCRIPT"))
        ]
        assert scripts, "the slow log has no call of this move"
        return max(scripts)

    def judge(self, name: str, moves: Iterable[Callable[[], Any]]) -> None:
        """Make a move several times; the best of them counts, for a busy machine can only make one longer."""
        took = min(self.longest(move) for move in moves)
        self.found[name] = took
        print(f"{name:42} {took:8.2f} ms")
        assert took < MOST_MS, f"{name} held the server for {took:.1f} ms"
