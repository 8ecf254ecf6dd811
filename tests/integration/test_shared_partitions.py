"""OVL-6 and ORD-3: two workers serve the same partitions, kicks come twice, and nothing overlaps."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from types import ModuleType

import pytest
import redis
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from celery_inbox import Inbox
from waiting import wait_until

from .conftest import Send, bot
from .follow import Follower
from .kicks import bind_handler, publish
from .load import Call, play_in_threads

PARTITIONS = 4
SESSIONS = 50
MESSAGES = 40
SLOTS = 4
LONG_LEASE = 60.0
"""Seconds: what waits for its end fails the test."""
BUSY = 0.2  # seconds, the most that a kick without work may keep a worker

pytestmark = pytest.mark.settings(partitions=PARTITIONS, debounce=0.02, max_wait=0.2)


@contextmanager
def stale_kicks(inbox: Inbox) -> Iterator[list[str]]:
    """Publish kicks that nobody asked for while the block runs; their ids."""
    published: list[str] = []
    over = threading.Event()

    def storm() -> None:
        while not over.wait(0.005):
            published.append(publish(inbox, str(len(published) % PARTITIONS)))

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        yield published
    finally:
        over.set()
        thread.join()


class TestTwoWorkers:
    """Of the same kind on the same queues."""

    @pytest.fixture(params=["prefork", "threads"])
    def worker_args(self, request: pytest.FixtureRequest) -> tuple[str, ...]:
        return ("--pool", request.param, "--concurrency", str(SLOTS))

    @pytest.fixture
    def default_worker_app_module(self) -> ModuleType:
        return bot("doubling")

    def test_sessions_never_overlap_though_two_workers_share_them_and_kicks_come_twice(
        self,
        celery_setup: CeleryTestSetup,
        inbox: Inbox,
        send: Send,
        follower: Follower,
        start_worker: Callable[..., CeleryTestWorker],
    ) -> None:
        """50 sessions are flooded with 2000 messages; each kick is doubled, and stale ones come on top."""
        second = start_worker("--inbox", "all")
        bind_handler(inbox)
        sessions = [f"user:{n}" for n in range(SESSIONS)]
        floods = [
            [Call(n * 0.03, partial(send, session, n)) for session in sessions[k::4] for n in range(MESSAGES)]
            for k in range(4)
        ]
        with stale_kicks(inbox) as stale:
            play_in_threads(floods)
            wait_until(lambda: follower.handled() == SESSIONS * MESSAGES, description="all is handled", timeout=60)

        follower.report().assert_clean()
        runs = follower.runs()
        print(f"{len(runs)} batches, {len(stale)} stale kicks")
        assert len(stale) > 50
        assert any(one.overlaps(other) for one, other in pairwise(runs)), "all was serial"
        for worker in (celery_setup.worker, second):
            worker.assert_log_exists("succeeded", timeout=10)
            worker.assert_log_does_not_exist("Traceback", timeout=0)


class TestABusyWorker:
    """Beside one that is free."""

    pytestmark = pytest.mark.settings(lease=LONG_LEASE)

    @pytest.fixture(params=["prefork", "threads", "solo"])
    def worker_args(self, request: pytest.FixtureRequest) -> tuple[str, ...]:
        return ("--pool", request.param, "--concurrency", "1")

    def test_it_takes_no_kick_away_from_the_free_one(
        self,
        celery_setup: CeleryTestSetup,
        inbox: Inbox,
        send: Send,
        follower: Follower,
        start_worker: Callable[..., CeleryTestWorker],
    ) -> None:
        """A kick that waits in a busy worker is one that nobody else gets, for a whole lease."""
        start_worker("--inbox", "all")
        send("long", {"sleep": 15})
        wait_until(lambda: follower.started("long") == 1, description="one worker is busy")
        for number in range(12):
            send(f"short:{number}", {})
            wait_until(
                lambda number=number: follower.finished(f"short:{number}") == 1,  # type: ignore[misc]
                description="the free worker handles it",
                timeout=5,
            )
        assert not follower.finished("long")
        wait_until(lambda: follower.finished("long") == 1, description="the long one ends", timeout=30)


class TestOneWorker:
    """Idle, with a dispatcher that looks once and then sleeps."""

    pytestmark = pytest.mark.settings(lease=60.0, dispatch_interval=60.0)

    def test_a_kick_that_finds_nothing_ends_in_success_at_once_and_writes_nothing(
        self, celery_setup: CeleryTestSetup, inbox: Inbox, data: redis.Redis
    ) -> None:
        """Every key of the inbox is the same before and after."""
        bind_handler(inbox)
        worker = celery_setup.worker
        wait_until(lambda: len(wake_times(data)) == PARTITIONS, description="the dispatcher has looked")
        before = dump(inbox)
        for kick in [publish(inbox, str(n % PARTITIONS)) for n in range(20)]:
            worker.assert_log_exists(f"bot.reply[{kick}] succeeded in ", timeout=20)
        assert dump(inbox) == before
        assert max(seconds_of_success(worker.logs())) < BUSY


def wake_times(data: redis.Redis) -> list[str]:
    """Partitions at which a dispatcher has looked."""
    return list(data.scan_iter("celery-inbox:*:state", count=1000))


def dump(inbox: Inbox) -> dict[bytes, bytes | None]:
    """Every key of the inbox with its content."""
    with redis.Redis.from_url(inbox.app.conf.broker_url) as raw:
        return {key: raw.dump(key) for key in raw.scan_iter("celery-inbox:*", count=1000)}


def seconds_of_success(log: str) -> list[float]:
    """Runtimes that the worker's log gives."""
    ends = [line.partition("succeeded in ")[2] for line in log.splitlines() if "bot.reply[" in line]
    return [float(end.partition("s:")[0]) for end in ends if end]
