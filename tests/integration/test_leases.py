"""OVL-2 and OVL-3: handlers that outlive their lease, and holders that stop in the middle."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import pytest
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from celery_inbox import Inbox
from celery_inbox.store.keys import address
from celery_inbox.testing import Run
from waiting import wait_until

from .conftest import Send
from .follow import Follower, notes

LEASE = 2.0  # seconds
LONG = 6.0  # seconds, three leases
RECOVERY = 20.0  # seconds; a lease and a dispatcher's sleep, on a machine that may be busy

POOLS = {"prefork": range(10), "threads": range(10, 20), "solo": range(20, 32)}


def session_in(partitions: range, inbox: Inbox) -> str:
    """A session that lives in one of these partitions."""
    names = (f"session {n}" for n in count())
    return next(name for name in names if int(address(name, inbox.settings.partitions).partition) in partitions)


class TestLongHandlers:
    """One worker per pool, each with partitions of its own."""

    @pytest.fixture
    def worker_args(self) -> tuple[str, ...]:
        return ("--concurrency", "1")

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("--pool", "prefork", "--inbox", "0-9")

    @pytest.mark.parametrize("orders", [{"sleep": LONG}, {"spin": LONG}], ids=["asleep", "computing"])
    def test_a_handler_that_outlives_its_lease_runs_once_in_every_pool(
        self,
        orders: dict[str, float],
        inbox: Inbox,
        send: Send,
        follower: Follower,
        start_worker: Callable[..., CeleryTestWorker],
    ) -> None:
        """Three leases of sleep or of pure Python: renewed all along, while more messages come in."""
        start_worker("--pool", "threads", "--inbox", "10-19")
        start_worker("--pool", "solo", "--inbox", "20-31")
        sessions = {pool: session_in(partitions, inbox) for pool, partitions in POOLS.items()}
        for session in sessions.values():
            send(session, orders)
        wait_until(lambda: follower.started() == len(POOLS), description="all three handlers run")
        for session in sessions.values():
            send(session, "what came meanwhile")
        wait_until(lambda: follower.handled() == 2 * len(POOLS), description="all is handled", timeout=40)

        follower.report().assert_clean()
        for session in sessions.values():
            first, second = follower.runs(session)
            assert length(first) >= LONG
            assert (first.start.attempt, second.start.attempt) == (1, 1)
            assert len(first.messages) == len(second.messages) == 1


class TestStoppedHolders:
    """Two prefork workers serve the same partitions; the one that holds the lease is stopped."""

    @pytest.fixture
    def workers(
        self, celery_setup: CeleryTestSetup, start_worker: Callable[..., CeleryTestWorker]
    ) -> list[CeleryTestWorker]:
        return [celery_setup.worker, start_worker("--inbox", "all")]

    @pytest.mark.parametrize("what", ["pool child", "worker"])
    def test_a_holder_that_was_stopped_is_told_that_its_lease_is_lost(
        self,
        what: str,
        workers: list[CeleryTestWorker],
        inbox: Inbox,
        send: Send,
        follower: Follower,
        notes_path: Path,
    ) -> None:
        """The second worker runs attempt 2 under a higher fence; the first one learns it, and its ack is void."""
        send("sleeper", {"wait_for_loss": 60}, id="1")
        wait_until(lambda: follower.started() == 1, description="the handler runs")
        holder = next(worker for worker in workers if follower.runs()[0].start.pid in children(worker))
        stop = stopped_worker if what == "worker" else stopped_child
        with stop(holder, follower.runs()[0].start.pid):
            wait_until(lambda: follower.finished() == 1, description="the second worker took over", timeout=RECOVERY)
            wait_until(lambda: inbox.peek("sleeper") is None, description="the second worker's ack is in")
            counts = counters(inbox)
        wait_until(lambda: follower.finished() == 2, description="the first one woke up", timeout=RECOVERY)
        wait_until(lambda: "is lost" in holder.logs(), description="the loss stands in the log")

        first, second = follower.runs("sleeper")
        assert (first.start.attempt, second.start.attempt) == (1, 2)
        assert first.start.batch == second.start.batch
        assert first.start.fence < second.start.fence
        assert first.start.pid != second.start.pid
        assert [note["lost"] for note in notes(notes_path) if note["fence"] == first.start.fence] == [True]
        assert holder.logs().count("is lost") == 1
        report = follower.report()
        report.assert_clean(allow={"DUP", "OVERLAP"})
        assert len(report.of("OVERLAP")) == 1, "the test stopped nobody while another one ran"
        assert counters(inbox) == counts, "a void ack counted"

        send("sleeper", "after it all", id="2")
        wait_until(lambda: follower.finished() == 3, description="the session goes on")
        assert follower.runs("sleeper")[2].ids == ("2",)


def length(run: Run) -> float:
    """Seconds from start to end."""
    assert run.end is not None
    return (run.end.at - run.start.at) / 1000


def children(worker: CeleryTestWorker) -> set[int]:
    """Ids of a worker's pool processes."""
    main: int = worker.container.attrs["State"]["Pid"]
    return {child.pid for child in psutil.Process(main).children(recursive=True)}


@contextmanager
def stopped_child(worker: CeleryTestWorker, pid: int) -> Iterator[None]:
    """Stop the process that runs the handler; its worker goes on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def stopped_worker(worker: CeleryTestWorker, pid: int) -> Iterator[None]:
    """Stop all processes of a worker, as a suspended machine would."""
    worker.container.pause()
    try:
        yield
    finally:
        worker.container.unpause()


def counters(inbox: Inbox) -> tuple[int, int, int, int]:
    """What the inbox has counted."""
    stats = inbox.stats()
    return stats.accepted, stats.handled, stats.dead, stats.pending
