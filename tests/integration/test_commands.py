"""CMD-1 and CMD-4: commands do not wait behind batches, and keep their meaning."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from celery import Celery
from pytest_celery import CeleryTestSetup, CeleryTestWorker, RedisTestBackend

from celery_inbox import Inbox
from celery_inbox.testing import History, Run
from waiting import wait_until

from .conftest import Send
from .follow import Follower, notes

TRIES = 100
DUE = 1000  # sessions
SLOTS = 2
P99 = 500  # ms
HANDLER = 300.0  # seconds; the test ends long before, by SIGKILL


class TestBusyBatchWorkers:
    """All slots of the batch worker run, and a thousand sessions wait for them."""

    @pytest.fixture
    def worker_args(self) -> tuple[str, ...]:
        return ("--pool", "prefork")

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("--concurrency", str(SLOTS), "--inbox", "all")

    @pytest.mark.leaves_work
    @pytest.mark.settings(debounce=0.0, max_wait=0.0)
    def test_a_command_starts_at_once_however_many_batches_run_and_wait(
        self,
        celery_setup: CeleryTestSetup,
        inbox: Inbox,
        history: History,
        send: Send,
        follower: Follower,
        start_worker: Callable[..., CeleryTestWorker],
    ) -> None:
        """100 commands, one after the other: p99 from acceptance to start is under half a second."""
        start_worker("--concurrency", "1", "--inbox", "command")
        inbox.send_many([(f"busy {n}", {"sleep": HANDLER}) for n in range(DUE)])
        wait_until(lambda: follower.started() == SLOTS, description="all slots are taken")
        for n in range(TRIES):
            history.sent(f"busy {n}", inbox.send_command(f"busy {n}", "stop", id=str(n)))
            wait_for_command(follower, n + 1)
        celery_setup.worker.kill()

        waits = sorted(run.start.at - run.messages[0].at for run in commands(follower))
        print(f"commands: p50 {waits[TRIES // 2]} ms, p99 {waits[TRIES * 99 // 100 - 1]} ms, longest {waits[-1]} ms")
        assert waits[TRIES * 99 // 100 - 1] < P99
        assert inbox.stats().due == DUE - SLOTS, "the batches did not wait, so nothing was shown"


class TestOneWorker:
    """A worker that serves batches and commands."""

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("--inbox", "all,command")

    @pytest.mark.settings(is_command=",")
    def test_a_command_between_two_texts_is_called_with_what_was_sent(
        self, send: Send, follower: Follower, notes_path: Path
    ) -> None:
        """`a`, `,cmd`, `b` within the debounce: one command call with the typed payload, a batch without it."""
        payload = {"text": ",remind", "in": 2.5, "who": ["ann", None], "silent": True}
        statuses = [
            send("mixed", body, id=id).status for id, body in [("1", "a"), ("2", payload), ("3", {"text": "b"})]
        ]
        wait_until(lambda: follower.handled() == 3, description="texts and command are handled")

        follower.report().assert_clean()
        assert statuses == ["accepted", "command", "accepted"]
        assert [note["body"] for note in notes(notes_path)] == [payload]
        [command] = commands(follower)
        assert command.ids == ("2",)
        [batch] = batches(follower)
        assert batch.ids == ("1", "3")
        assert command.start.at < batch.start.at, "the command waited for the lull"

    def test_a_command_id_that_is_sent_five_times_is_one_call(
        self, inbox: Inbox, data: redis.Redis, history: History, follower: Follower
    ) -> None:
        """Also after the command was handled: its id is remembered."""
        for n in range(5):
            receipt = inbox.send_command("somebody", "pay", id="order-7")
            history.sent("somebody", receipt, kind="command")
            if n == 2:
                wait_until(lambda: follower.finished() == 1, description="the command is handled")
        history.sent("somebody", inbox.send_command("somebody", "pay", id="order-8"))
        wait_until(lambda: follower.handled() == 2, description="the other command is handled")
        follower.report().assert_clean()
        assert [run.ids for run in commands(follower)] == [("order-7",), ("order-8",)]


class TestBrokerOfItsOwn:
    """The sessions live on another server than the kicks."""

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("--inbox", "all,command")

    @pytest.fixture
    def default_worker_app(self, default_worker_app: Celery, celery_redis_backend: RedisTestBackend) -> Celery:
        default_worker_app.conf.inbox_redis_url = celery_redis_backend.config()["host_url"]
        return default_worker_app

    def test_what_is_sent_while_the_broker_is_away_is_handled_when_it_is_back(
        self, celery_setup: CeleryTestSetup, inbox: Inbox, history: History, send: Send, follower: Follower
    ) -> None:
        """Sends need no broker: command and message are accepted, and wait for the kick that comes later."""
        broker = celery_setup.broker
        broker.kill()
        history.sent("somebody", inbox.send_command("somebody", "stop"))
        send("somebody", "hello")
        celery_setup.worker.assert_log_exists("the broker is away", timeout=20)
        assert follower.started() == 0
        broker.restart()
        wait_until(lambda: follower.handled() == 2, description="both are handled", timeout=40)
        follower.report().assert_clean()
        assert celery_setup.worker.logs().count("the broker is away") == 1


def wait_for_command(follower: Follower, number: int) -> None:
    """Wait until so many commands have been handled."""
    wait_until(lambda: follower.handled() == number, description=f"command {number} is handled")


def commands(follower: Follower) -> list[Run]:
    """Calls of the command handler."""
    return [run for run in follower.runs() if run.kind == "command"]


def batches(follower: Follower) -> list[Run]:
    """Calls of the batch handler."""
    return [run for run in follower.runs() if run.kind == "batch"]
