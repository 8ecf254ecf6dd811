"""What a producer pays for a message: ``send`` and ``send_many`` beside ``task.delay`` and a bare ``RPUSH``."""

from __future__ import annotations

import itertools
import json

import redis
from celery import Celery

from benchmarks.clock import Cost, Subject, measure
from celery_inbox import Inbox

BODY = {"text": "the build is green again, shall we go on?", "from": 4211}
SESSIONS = 1000
MANY = 100


def subjects(url: str) -> list[Subject]:
    """The peers, all on one server."""
    app = Celery("bench", broker=url)
    inbox = Inbox(app, "bench")
    client = redis.Redis.from_url(url)
    sessions = itertools.cycle([f"telegram:{number}" for number in range(SESSIONS)])

    @app.task(name="bench.peer", ignore_result=True)  # type: ignore[untyped-decorator]
    def peer(session: str, body: dict[str, object]) -> None:
        """One task per message."""

    def many() -> None:
        inbox.send_many([(next(sessions), BODY) for _ in range(MANY)])

    return [
        Subject("task.delay()", lambda: peer.delay(next(sessions), BODY), 1),
        Subject("inbox.send()", lambda: inbox.send(next(sessions), BODY), 1),
        Subject(f"inbox.send_many({MANY})", many, MANY),
        Subject("redis-py RPUSH", lambda: client.rpush("bench", json.dumps(BODY)), 1),
    ]


def run(url: str, rounds: int, runs: int) -> list[Cost]:
    """Measure on an empty server."""
    redis.Redis.from_url(url).flushall()
    return measure(subjects(url), rounds, runs)
