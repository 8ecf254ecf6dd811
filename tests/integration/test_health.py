"""``celery -A proj inbox health``: green while a worker consumes, busy or idle, and red soon after it does not."""

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from celery_inbox import Inbox
from celery_inbox.cli import inbox as commands
from nodes.worker import QuickWorkerContainer
from waiting import wait_until

from .conftest import Send
from .follow import Follower
from .test_flag import WithoutQueues

WITHIN = 6.0
"""Seconds, a fifth of the default, and so are the handlers and the time in which it must turn red."""
RED_SOON = 30.0

pytestmark = pytest.mark.settings(partitions=4, lease=2.0)


@pytest.fixture
def default_worker_container_cls() -> type[QuickWorkerContainer]:
    return WithoutQueues


@pytest.fixture
def pool() -> str:
    return "prefork"


@pytest.fixture
def worker_args(pool: str) -> tuple[str, ...]:
    return ("--pool", pool, "--concurrency", "1")


@pytest.fixture
def first_worker_args() -> tuple[str, ...]:
    return ("--inbox", "auto")


def health(inbox: Inbox, worker: CeleryTestWorker, timeout: float = 10.0) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of the command."""
    words = ["health", "--hostname", worker.hostname(), "--within", str(WITHIN), "--timeout", str(timeout), "--json"]
    result = CliRunner().invoke(commands, words, obj=SimpleNamespace(app=inbox.app), catch_exceptions=False)
    assert "Traceback" not in result.output
    return result.exit_code, json.loads(result.stdout)


def is_green(inbox: Inbox, worker: CeleryTestWorker, timeout: float = 10.0) -> bool:
    code, said = health(inbox, worker, timeout)
    assert (code == 0) == said["healthy"]
    return bool(said["healthy"])


@pytest.fixture
def worker(celery_setup: CeleryTestSetup, inbox: Inbox) -> CeleryTestWorker:
    """A worker that has told that it lives."""
    worker: CeleryTestWorker = celery_setup.worker
    wait_until(lambda: any(each.partitions for each in inbox.redis_store.workers()), description="the worker serves")
    return worker


class TestEveryPool:
    """Solo above all, whose ``inspect ping`` does not answer while a handler runs."""

    @pytest.fixture(params=["solo", "prefork", "threads", "gevent"])
    def pool(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.mark.leaves_work  # the kicks of canaries that nobody consumes
    def test_green_while_idle_while_busy_and_red_once_it_consumes_nothing(
        self, pool: str, worker: CeleryTestWorker, inbox: Inbox, send: Send, follower: Follower, data: redis.Redis
    ) -> None:
        """A canary while idle; the lease's own thread in a handler of twice the time; red after cancel_consumer."""
        code, said = health(inbox, worker)
        assert code == 0, said
        assert said["inboxes"][0]["said"] == "claimed a canary"
        assert inbox.stats().pending == 0

        send("long", {"sleep": 2 * WITHIN})
        wait_until(lambda: follower.started("long") == 1, description="the handler runs")
        looked = 0
        while not follower.finished("long"):
            assert is_green(inbox, worker, timeout=1.0)
            looked += 1
            time.sleep(0.5)
        assert looked > 3

        for partition in range(4):
            worker.app.control.cancel_consumer(f"chat.{partition}", destination=[worker.hostname()])
        begun = time.monotonic()
        wait_until(lambda: not is_green(inbox, worker, timeout=3.0), description="it turns red", timeout=RED_SOON)
        print(f"red after {time.monotonic() - begun:.1f} s")
        code, said = health(inbox, worker, timeout=1.0)
        assert code == 1
        assert "no canary within 1 s" in said["inboxes"][0]["said"]
        assert inbox.stats().pending == 0, "a canary was left behind"


class TestOnePool:
    """What does not depend on the pool."""

    def test_red_while_frozen_and_green_again(self, worker: CeleryTestWorker, inbox: Inbox, data: redis.Redis) -> None:
        """SIGSTOP: it does not tell for a lease, so it is not among those that live."""
        assert is_green(inbox, worker)
        worker.container.pause()
        wait_until(lambda: not is_green(inbox, worker), description="it turns red", timeout=RED_SOON)
        worker.container.unpause()
        wait_until(lambda: is_green(inbox, worker), description="it turns green", timeout=RED_SOON)

    def test_a_worker_that_is_none_is_red_and_those_that_are_get_named(
        self, worker: CeleryTestWorker, inbox: Inbox, data: redis.Redis
    ) -> None:
        """The name is the newcomer's mistake."""
        words = ["health", "--hostname", "nobody@nowhere"]
        result = CliRunner().invoke(commands, words, obj=SimpleNamespace(app=inbox.app), catch_exceptions=False)
        assert result.exit_code == 1
        assert "nobody@nowhere serves no inbox" in result.stderr
        assert worker.hostname() in result.stderr

    @pytest.mark.handlers(chat={})
    def test_no_handler_sees_a_canary(
        self, worker: CeleryTestWorker, inbox: Inbox, follower: Follower, data: redis.Redis
    ) -> None:
        """It is counted as accepted and handled, and nobody heard of it."""
        for _ in range(3):
            assert is_green(inbox, worker)
            time.sleep(0.1)
        assert inbox.stats().accepted == inbox.stats().handled >= 1
        assert follower.started() == 0

    def test_beside_another_worker_of_the_same_queues_each_is_asked_until_it_answers(
        self, worker: CeleryTestWorker, inbox: Inbox, data: redis.Redis, start_worker: Callable[..., CeleryTestWorker]
    ) -> None:
        """With partitions of its own a worker may see another one take the canary."""
        second, third = start_worker("--inbox", "all"), start_worker("--inbox", "all,command")
        for each in (second, third):
            wait_until(lambda each=each: is_green(inbox, each), description="it answers", timeout=RED_SOON)  # type: ignore[misc]
