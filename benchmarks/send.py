"""What a producer pays for a message: the ways of sending beside ``task.delay`` and the floors below them."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import redis
from celery import Celery

from benchmarks.clock import Cost, Subject, measure
from benchmarks.sheet import Bars, Sheet
from celery_inbox import Inbox
from celery_inbox.embedded import Server
from celery_inbox.store.wire import pack

BODY = {"text": "the build is green again, shall we go on?", "from": 4211}
SESSIONS = 1000
MANY = 100
STORE = "return redis.call('RPUSH', KEYS[1], ARGV[1])"
"""The least that a script does which stores a message."""


class Bare:
    """Calls of a script on a socket without a client: the floor of anything that stores by one script call."""

    def __init__(self, url: str, closing: ExitStack) -> None:
        parts = urlsplit(url)
        self._socket = closing.enter_context(socket.create_connection((parts.hostname, parts.port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ask(pack(b"", 0, ("AUTH", parts.password)))
        self._sha = self._ask(pack(b"", 0, ("SCRIPT", "LOAD", STORE))).split()[1]

    def _ask(self, command: bytes) -> bytes:
        self._socket.sendall(command)
        reply = self._socket.recv(4096)
        if reply.startswith(b"-"):
            raise RuntimeError(f"the server refused: {reply!r}")
        return reply

    def store(self) -> None:
        """One round trip that stores the body."""
        body = json.dumps(BODY).encode()
        self._ask(
            b"*5\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n$4\r\nbare\r\n$%d\r\n%b\r\n" % (self._sha, len(body), body)
        )


def subjects(url: str, closing: ExitStack) -> list[Subject]:
    """The peers, all on one server."""
    app = Celery("bench", broker=url)
    inbox = Inbox(app, "bench")
    client = redis.Redis.from_url(url)
    bare = Bare(url, closing)
    loop = closing.enter_context(asyncio.Runner())
    sessions = itertools.cycle([f"telegram:{number}" for number in range(SESSIONS)])

    @app.task(name="bench.peer", ignore_result=True)  # type: ignore[untyped-decorator]
    def peer(session: str, body: dict[str, object]) -> None:
        """One task per message."""

    def many() -> None:
        inbox.send_many([(next(sessions), BODY) for _ in range(MANY)])

    async def all_at_once() -> None:
        await asyncio.gather(*(inbox.asend(next(sessions), BODY) for _ in range(MANY)))

    return [
        Subject("task.delay()", lambda: peer.delay(next(sessions), BODY), 1),
        Subject("inbox.send()", lambda: inbox.send(next(sessions), BODY), 1),
        Subject(f"inbox.send_many({MANY})", many, MANY),
        Subject(f"inbox.asend(), {MANY} at once", lambda: loop.run(all_at_once()), MANY),
        Subject("redis-py RPUSH", lambda: client.rpush("bench", json.dumps(BODY)), 1),
        Subject("EVALSHA, bare socket", bare.store, 1),
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
    with Server() as server, ExitStack() as closing:
        costs = measure(subjects(server.url, closing), rounds, RUNS)
    title = "A producer's processor time for a message"
    drawn = Bars(
        title,
        "µs",
        [cost.name.replace(", ", "\n") for cost in costs],
        {"processor time": [cost.cpu for cost in costs]},
        {"processor time": [cost.cpu_spread for cost in costs]},
    )
    return Sheet(
        "send", f"{title}; medians of {rounds} rounds", HEADINGS, [row(cost) for cost in costs], costs, [drawn]
    )
