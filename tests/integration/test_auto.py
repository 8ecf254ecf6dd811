"""``--inbox auto``: workers share the partitions out among themselves, whoever comes, goes, dies or hangs."""

from collections.abc import Callable

import pytest
import redis
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from celery_inbox import Inbox
from celery_inbox.store.moves import Serving
from nodes.worker import QuickWorkerContainer
from waiting import wait_until

from .conftest import Refused, Send, left_behind
from .follow import Follower
from .test_flag import WithoutQueues, names, queue_names

PARTITIONS = 8
LEASE = 2.0
MOVED = 20.0
"""Seconds: generous, for what is tested is that shares move by themselves; benchmarks say how fast."""

pytestmark = pytest.mark.settings(partitions=PARTITIONS, lease=LEASE, dispatch_interval=0.5)

StartWorker = Callable[..., CeleryTestWorker]


@pytest.fixture
def default_worker_container_cls() -> type[QuickWorkerContainer]:
    return WithoutQueues


@pytest.fixture
def pool() -> str:
    return "prefork"


@pytest.fixture
def worker_args(pool: str) -> tuple[str, ...]:
    return ("--pool", pool, "--concurrency", "2")


@pytest.fixture
def first_worker_args() -> tuple[str, ...]:
    return ("--inbox", "auto")


def serving(inbox: Inbox) -> dict[str, tuple[str, ...]]:
    """Partitions by the worker that says it serves them."""
    return {found.worker: found.partitions for found in workers(inbox)}


def workers(inbox: Inbox) -> list[Serving]:
    return inbox.redis_store.workers()


def wait_for_shares(inbox: Inbox, *sizes: int) -> None:
    """Wait until the shares have these sizes and every partition has one owner."""

    def is_even() -> bool:
        shares = list(serving(inbox).values())
        owned = [partition for share in shares for partition in share]
        return sorted(map(len, shares)) == sorted(sizes) and sorted(owned) == sorted(map(str, range(PARTITIONS)))

    wait_until(is_even, description=f"shares of {sizes}, now {serving(inbox)}", timeout=MOVED)


def share_of(inbox: Inbox, worker: CeleryTestWorker) -> tuple[str, ...]:
    return next(found.partitions for found in workers(inbox) if found.hostname == worker.hostname())


def wait_for_queues(inbox: Inbox, worker: CeleryTestWorker) -> None:
    """Wait until a worker consumes its share and nothing else; a green one looks every two seconds."""
    wait_until(
        lambda: names(worker) == queue_names([int(partition) for partition in share_of(inbox, worker)]),
        description=f"{worker.hostname()} consumes its share",
        timeout=MOVED,
    )


def send_to_all(send: Send, times: int = 1) -> int:
    """Send to sessions of every partition; how many messages."""
    sessions = [f"user:{number}" for number in range(5 * PARTITIONS)]
    for number in range(times):
        for session in sessions:
            send(session, number)
    return times * len(sessions)


class TestShares:
    """On every pool."""

    @pytest.fixture(params=["solo", "prefork", "threads", "gevent"])
    def pool(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_workers_that_come_and_go_share_evenly_and_nothing_is_lost(
        self,
        celery_setup: CeleryTestSetup,
        inbox: Inbox,
        send: Send,
        data: redis.Redis,
        follower: Follower,
        start_worker: StartWorker,
    ) -> None:
        """One has all, two have halves, three differ by one at most; who is told to stop leaves at once."""
        first = celery_setup.worker
        wait_for_shares(inbox, PARTITIONS)
        sent = send_to_all(send)
        second = start_worker("--inbox", "auto")
        wait_for_shares(inbox, 4, 4)
        sent += send_to_all(send)
        third = start_worker("--inbox")
        wait_for_shares(inbox, 3, 3, 2)
        sent += send_to_all(send)
        for worker in (first, second, third):
            wait_for_queues(inbox, worker)

        first.kill("SIGTERM")
        wait_for_shares(inbox, 4, 4)
        sent += send_to_all(send)
        wait_until(lambda: follower.handled() == sent, description="all is handled", timeout=30)
        follower.report().assert_clean()
        # The workers end before the server is looked at.
        wait_until(lambda: not left_behind(data), description="the last kicks come to rest")


class TestDisasters:
    """A share whose worker does not tell that it lives is free when a lease is over."""

    def test_the_share_of_a_killed_worker_moves_and_its_batch_is_handled(
        self, celery_setup: CeleryTestSetup, inbox: Inbox, send: Send, follower: Follower, start_worker: StartWorker
    ) -> None:
        """Killed in the middle of handlers; what it ran is tried again by who has its partitions now."""
        doomed = start_worker("--inbox", "auto")
        wait_for_shares(inbox, 4, 4)
        lost = share_of(inbox, doomed)
        for number in range(40):
            send(f"user:{number}", {"sleep": 0.2})
        wait_until(lambda: follower.started() >= 6, description="handlers run")
        doomed.kill("SIGKILL")
        wait_for_shares(inbox, PARTITIONS)
        assert set(lost) <= set(share_of(inbox, celery_setup.worker))
        wait_until(lambda: follower.handled() == 40, description="all is handled", timeout=60)
        follower.report().assert_clean()

    def test_a_worker_that_hangs_loses_its_share_and_gets_one_again(
        self, celery_setup: CeleryTestSetup, inbox: Inbox, send: Send, follower: Follower, start_worker: StartWorker
    ) -> None:
        """Stopped for longer than a lease; once awake it consumes only what it is given anew."""
        sleeper = start_worker("--inbox", "auto")
        wait_for_shares(inbox, 4, 4)
        sleeper.container.pause()
        wait_for_shares(inbox, PARTITIONS)
        sent = send_to_all(send)
        wait_until(lambda: follower.handled() == sent, description="all is handled meanwhile", timeout=30)
        sleeper.container.unpause()
        wait_for_shares(inbox, 4, 4)
        wait_for_queues(inbox, sleeper)
        follower.report().assert_clean()

    def test_shares_outlive_the_loss_of_the_roster_and_of_all_connections(
        self,
        celery_setup: CeleryTestSetup,
        inbox: Inbox,
        send: Send,
        data: redis.Redis,
        follower: Follower,
        start_worker: StartWorker,
    ) -> None:
        """Who consumes a partition keeps it: nothing moves that need not."""
        other = start_worker("--inbox", "auto")
        wait_for_shares(inbox, 4, 4)
        before = serving(inbox)
        data.delete(*data.scan_iter("celery-inbox:1:{chat}:*"))
        data.client_kill_filter(_type="normal", skipme=True)
        data.client_kill_filter(_type="pubsub", skipme=True)
        wait_for_shares(inbox, 4, 4)
        assert serving(inbox) == before
        sent = send_to_all(send)
        wait_until(lambda: follower.handled() == sent, description="all is handled", timeout=30)
        for worker in (celery_setup.worker, other):
            wait_for_queues(inbox, worker)
        follower.report().assert_clean()


class TestMixtures:
    """Beside a share: commands, and partitions of one's choice, which is a mistake."""

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("--inbox", "auto,command")

    def test_a_sharing_worker_may_serve_commands_too(
        self, celery_setup: CeleryTestSetup, inbox: Inbox, follower: Follower
    ) -> None:
        """Its share may move, commands stay."""
        wait_until(lambda: "command" in share_of(inbox, celery_setup.worker), description="commands are served")
        inbox.send_command("s", {})
        wait_until(lambda: follower.finished("s") == 1, description="the command is handled")

    @pytest.mark.parametrize("words", ["auto,3", "auto,all"])
    def test_a_share_and_a_choice_exclude_each_other(
        self, celery_setup: CeleryTestSetup, refused: Refused, words: str
    ) -> None:
        """The worker does not start, and says why."""
        code, log = refused("--inbox", words)
        assert code == 1
        assert "takes a share of chat (auto) or serves partitions of your choice" in log
