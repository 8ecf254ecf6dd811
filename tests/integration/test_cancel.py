"""CTL-1: a running batch is cancelled from another process."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from pytest_celery import CeleryTestSetup

from celery_inbox import Inbox
from celery_inbox.testing import History, check
from waiting import wait_until

from .conftest import bot
from .follow import Follower, notes

WITHIN = 1.0  # seconds from the call to the handler's knowing
RECOVERY = 20.0  # seconds
PARTITIONS = 4


pytestmark = pytest.mark.settings(partitions=PARTITIONS)


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "prefork", "--concurrency", "6")


CANCEL = """
import sys, time
from celery import Celery
from celery_inbox import Inbox

url, names, partitions = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
app = Celery("another process", broker=url)
inboxes = {name: Inbox(app, name, partitions=partitions) for name in names}
for line in sys.stdin:
    name, _, session = line.strip().partition(" ")
    print(inboxes[name].cancel(session), time.time(), flush=True)
"""


class Canceller:
    """Another process, which cancels what it is told and says when."""

    def __init__(self, url: str, *names: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CANCEL, url, ",".join(names), str(PARTITIONS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, inbox: str, session: str) -> tuple[bool, float]:
        """Cancel; the reply is the answer and the time of the call's return, Unix seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{inbox} {session}\n")
        self._process.stdin.flush()
        answer, at = self._process.stdout.readline().split()
        return answer == "True", float(at)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@pytest.fixture
def cancel(celery_setup: CeleryTestSetup) -> Iterator[Canceller]:
    """Cancel from another process."""
    canceller = Canceller(celery_setup.app.conf.broker_url, "chat", "rejoin", "coro", "coro-rejoin")
    yield canceller
    canceller.close()


@pytest.fixture
def inboxes(celery_setup: CeleryTestSetup, inbox: Inbox) -> dict[str, Inbox]:
    """All inboxes of the worker, on the producer's side."""
    others = {name: Inbox(celery_setup.app, name) for name in ("rejoin", "coro", "coro-rejoin")}
    return {"chat": inbox, **others}


@pytest.fixture
def send_to(inboxes: dict[str, Inbox], data: redis.Redis, history: History) -> Callable[..., None]:
    """Send to one of the inboxes; each has one session, which is called like it."""

    def send_to(name: str, body: Any, id: str) -> None:
        history.sent(name, inboxes[name].send(name, body, id=id))

    return send_to


@pytest.mark.usefixtures("worker_args")
@pytest.mark.handlers(
    **{
        "chat": {},
        "rejoin": {"on_cancel": "rejoin"},
        "coro": {"is_async": True},
        "coro-rejoin": {"is_async": True, "on_cancel": "rejoin"},
    }
)
class TestRunningBatches:
    """Four inboxes: plain and async, each with both ways of settling."""

    @pytest.fixture(params=["prefork", "threads"])
    def worker_args(self, request: pytest.FixtureRequest) -> tuple[str, ...]:
        return ("--pool", request.param, "--concurrency", "6")

    def test_a_running_handler_learns_within_a_second_that_its_batch_was_cancelled(
        self,
        inboxes: dict[str, Inbox],
        cancel: Canceller,
        send_to: Callable[..., None],
        follower: Follower,
        marks: Path,
    ) -> None:
        """Plain ones see it and raise, async ones are cancelled where they wait; then `ack` or `rejoin`."""
        for name in inboxes:
            waits = {"until": "go"} if name.startswith("coro") else {"until_cancelled": ["raise", "go"]}
            send_to(name, waits, "1")
        wait_until(lambda: follower.started() == 4, description="all four run")
        for name in inboxes:
            send_to(name, "what came meanwhile", "2")
        calls = {name: cancel(name, name) for name in inboxes}
        assert [answer for answer, _ in calls.values()] == [True] * 4
        wait_until(lambda: all(map(follower.finished, inboxes)), description="all four were told")
        (marks / "go").touch()
        for name, (_, called_at) in calls.items():
            end = follower.runs(name)[0].end
            assert end is not None
            assert end.at / 1000 - called_at < WITHIN, name
            assert end.error == ("CancelledError" if name.startswith("coro") else "RuntimeError")
        wait_until(lambda: follower.handled() == 6, description="the rest is handled", timeout=RECOVERY)
        wait_until(lambda: not any(map(pending, inboxes.values())), description="the acks are in")

        check(follower.events(), taken=[("chat", "1"), ("coro", "1")]).assert_clean()
        for name, found in inboxes.items():
            first, second = follower.runs(name)
            assert first.start.batch != second.start.batch
            assert (first.start.attempt, second.start.attempt) == (1, 1)
            assert first.ids == ("1",)
            stats = found.stats()
            if name.endswith("rejoin"):
                assert second.ids == ("1", "2")
                assert (stats.cancelled, stats.handled, stats.dead) == (0, 2, 0)
            else:
                assert second.ids == ("2",)
                assert (stats.cancelled, stats.handled, stats.dead) == (1, 1, 0)

    def test_a_handler_that_returns_although_it_was_cancelled_has_handled(
        self, inbox: Inbox, cancel: Canceller, send_to: Callable[..., None], follower: Follower, notes_path: Path
    ) -> None:
        """Also where the messages would rejoin; a batch that is closed before the handler looks is nobody's loss."""
        for name in ("chat", "rejoin"):
            send_to(name, {"until_cancelled": ["return", "never"]}, "1")
        wait_until(lambda: follower.started() == 2, description="both run")
        assert cancel("chat", "chat")[0]
        assert cancel("rejoin", "rejoin")[0]
        wait_until(lambda: follower.handled() == 2, description="both have handled")
        follower.report().assert_clean()
        wait_until(lambda: inbox.stats().handled == 1, description="the ack is in")
        assert inbox.stats().cancelled == 0
        assert {line["session"] for line in notes(notes_path) if line.get("saw")} == {"chat", "rejoin"}


@pytest.mark.handlers(chat={"backoff": 60.0, "backoff_cap": 60.0}, rejoin={"backoff": 60.0, "on_cancel": "rejoin"})
class TestOpenBatches:
    """Batches that wait a minute for their next attempt, and sessions without any."""

    def test_a_batch_in_backoff_is_settled_at_once_and_what_came_behind_it_goes_on(
        self,
        inboxes: dict[str, Inbox],
        cancel: Canceller,
        send_to: Callable[..., None],
        follower: Follower,
        marks: Path,
    ) -> None:
        """`ack`: the rest is handled; `rejoin`: the messages wait for the lull again, together with the rest."""
        names = ("chat", "rejoin")
        for name in names:
            send_to(name, {"fail_without": "go"}, "1")
        wait_until(lambda: all(backs_off(inboxes[name], name) for name in names), description="both back off")
        for name in names:
            send_to(name, "what came meanwhile", "2")
        assert follower.started() == 2
        (marks / "go").touch()
        calls = {name: cancel(name, name) for name in names}
        assert [answer for answer, _ in calls.values()] == [True, True]
        wait_until(lambda: follower.handled() == 3, description="the rest is handled", timeout=RECOVERY)
        wait_until(lambda: not any(pending(inboxes[name]) for name in names), description="the acks are in")

        assert [run.ids for run in follower.runs("chat")] == [("1",), ("2",)]
        failed, again = follower.runs("rejoin")
        assert again.ids == ("1", "2")
        assert again.start.batch != failed.start.batch
        assert again.start.attempt == 1
        assert again.start.at / 1000 - calls["rejoin"][1] > 0.2, "what rejoined did not wait for a lull"
        assert (inboxes["chat"].stats().cancelled, inboxes["rejoin"].stats().cancelled) == (1, 0)
        check(follower.events(), taken=[("chat", "1")]).assert_clean()

    def test_there_is_nothing_to_cancel_where_no_batch_is_open(
        self, inbox: Inbox, cancel: Canceller, send_to: Callable[..., None], follower: Follower
    ) -> None:
        """A session that never was, one whose messages still wait, one that is done: False, and nothing is changed."""
        assert cancel("chat", "nobody")[0] is False
        send_to("chat", "hello", "1")
        assert cancel("chat", "chat")[0] is False
        wait_until(lambda: follower.handled() == 1, description="it is handled")
        wait_until(lambda: inbox.stats().handled == 1, description="the ack is in")
        assert cancel("chat", "chat")[0] is False
        assert inbox.stats().cancelled == 0
        follower.report().assert_clean()


def backs_off(inbox: Inbox, session: str) -> bool:
    """Whether the session's batch waits for another attempt."""
    view = inbox.peek(session)
    return view is not None and view.batch_id is not None and view.lease_end is None


def pending(inbox: Inbox) -> int:
    """Messages that wait or are in an open batch."""
    return inbox.stats().pending
