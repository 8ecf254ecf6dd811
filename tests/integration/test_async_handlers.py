"""Async handlers: one loop per process, for as long as the process lives; and gevent, which has no place for it."""

from pathlib import Path
from types import ModuleType

import pytest
from pytest_celery import CeleryTestSetup

from waiting import wait_until

from .conftest import Refused, Send, bot
from .follow import Follower, notes

SESSIONS = 12
ROUNDS = 3
LONG = 5.0  # seconds, longer than two leases


@pytest.mark.usefixtures("worker_args")
class TestAsyncHandler:
    """A client made at import, a lock that sessions wait for."""

    @pytest.fixture(params=[("prefork", 2), ("threads", 4), ("solo", 1)], ids=["prefork", "threads", "solo"])
    def worker_args(self, request: pytest.FixtureRequest) -> tuple[str, ...]:
        pool, slots = request.param
        return ("--pool", pool, "--concurrency", str(slots))

    @pytest.fixture
    def default_worker_app_module(self) -> ModuleType:
        return bot("asynchronous")

    @pytest.mark.settings(debounce=0.05, max_wait=0.5)
    def test_an_async_client_serves_every_batch_of_its_process(
        self, celery_setup: CeleryTestSetup, send: Send, follower: Follower, notes_path: Path
    ) -> None:
        """Several rounds: all calls of a process run on one loop, and what was made on it stays usable."""
        for n in range(ROUNDS):
            for session in range(SESSIONS):
                send(f"user:{session}", n)
            wait_until(lambda: len(follower.runs()) == follower.finished() >= SESSIONS, description="the round is over")
        wait_until(lambda: follower.handled() == ROUNDS * SESSIONS, description="all is handled", timeout=30)

        follower.report().assert_clean()
        lines = notes(notes_path)
        assert len(lines) == len(follower.runs()) >= SESSIONS
        processes = {line["pid"] for line in lines}
        assert len({(line["pid"], line["loop"]) for line in lines}) == len(processes)
        for process in processes:
            calls = [line["calls"] for line in lines if line["pid"] == process]
            assert sorted(calls) == list(range(1, len(calls) + 1))
        celery_setup.worker.assert_log_does_not_exist("Traceback", timeout=0)


class TestAsyncHandlerOnGevent:
    """The pool patches what the loop's thread is made of."""

    @pytest.fixture
    def default_worker_app_module(self) -> ModuleType:
        return bot("asynchronous")

    def test_an_async_handler_on_gevent_is_refused_at_the_start(self, refused: Refused) -> None:
        """One line names handler and pool and says what to do."""
        code, log = refused("--pool", "gevent", "--inbox", "all")
        assert code != 0
        [line] = [line for line in log.splitlines() if line.startswith("celery-inbox:")]
        assert "bot.reply is an async handler and the pool is gevent" in line
        assert "write it as a plain function, or use -P prefork, threads or solo" in line
        assert "Traceback" not in log


class TestPlainHandlerOnGevent:
    """Slots are greenlets of one process."""

    @pytest.fixture
    def worker_args(self) -> tuple[str, ...]:
        return ("--pool", "gevent", "--concurrency", "20")

    @pytest.mark.settings(debounce=0.05, max_wait=0.5)
    def test_a_plain_handler_on_gevent_keeps_its_lease_while_it_sleeps(
        self, celery_setup: CeleryTestSetup, send: Send, follower: Follower
    ) -> None:
        """Ten sessions sleep longer than two leases, all at once, each in one run."""
        for n in range(10):
            send(f"user:{n}", {"sleep": LONG})
        wait_until(lambda: follower.started() == 10, description="all ten run at once")
        assert follower.finished() == 0
        for n in range(10):
            send(f"user:{n}", "what came meanwhile")
        wait_until(lambda: follower.handled() == 20, description="all is handled", timeout=30)
        follower.report().assert_clean()
        assert {run.start.attempt for run in follower.runs()} == {1}
        assert len(follower.runs()) == 20
