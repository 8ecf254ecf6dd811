"""What a producer pays for a message: ``send`` and ``send_many`` beside ``task.delay`` and a bare ``RPUSH``."""

from __future__ import annotations

import itertools
import json

import redis
from celery import Celery

from benchmarks.clock import Cost, Subject, measure
from benchmarks.sheet import Bars, Sheet
from celery_inbox import Inbox
from celery_inbox.embedded import Server

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


TARGETS = {"inbox.send()": 4, f"inbox.send_many({MANY})": 40}
"""How many times cheaper than ``task.delay()`` the contract wants them."""
RUNS = 1000
"""Messages of each subject in a round."""
HEADINGS = ("", "CPU µs", "least to most", "wall µs", "cheaper than task.delay()", "wanted")


def row(cost: Cost) -> list[str]:
    low, high = cost.cpu_spread
    wanted = f"{TARGETS[cost.name]} x" if cost.name in TARGETS else ""
    figures = (f"{cost.cpu:.1f}", f"{low:.1f} to {high:.1f}", f"{cost.wall:.1f}", f"{cost.cheaper:.1f} x")
    return [cost.name, *figures, wanted]


def run(rounds: int) -> Sheet:
    """Measure on an empty server."""
    with Server() as server:
        costs = measure(subjects(server.url), rounds, RUNS)
    title = "A producer's processor time for a message"
    drawn = Bars(
        title,
        "µs",
        [cost.name for cost in costs],
        {"processor time": [cost.cpu for cost in costs]},
        {"processor time": [cost.cpu_spread for cost in costs]},
    )
    return Sheet(
        "send", f"{title}; medians of {rounds} rounds", HEADINGS, [row(cost) for cost in costs], costs, [drawn]
    )
