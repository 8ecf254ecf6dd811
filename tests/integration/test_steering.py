"""STR-1: a running handler takes what arrives meanwhile."""

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from celery_inbox import Inbox
from celery_inbox.testing import History, check
from waiting import wait_until

from .conftest import Send, bot
from .follow import Follower, notes

RECOVERY = 20.0  # seconds; a lease and a dispatcher's sleep, on a machine that may be busy
MAX_BATCH = 3
TEN_TIMES = 10 * MAX_BATCH
DEBOUNCE = 0.8  # seconds

pytestmark = pytest.mark.settings(partitions=4)


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "6")


@pytest.mark.handlers(plain={"backoff": 0.2}, coro={"backoff": 0.2, "is_async": True})
@pytest.mark.parametrize("colour", ["plain", "coro"])
class TestOneWorker:
    """Plain handlers call take_new, async ones await atake_new."""

    @pytest.fixture
    def inbox(self, celery_setup: CeleryTestSetup, colour: str) -> Inbox:
        return Inbox(
            celery_setup.app,
            colour,
            is_command=",",
            command_order="in_line",
            batch_key=lambda body: body["from"] if isinstance(body, dict) and "from" in body else "nobody",
        )

    @pytest.mark.settings(debounce=DEBOUNCE, max_wait=5.0)
    def test_what_comes_after_the_last_look_is_the_next_batch_without_another_lull(
        self, send: Send, follower: Follower, notes_path: Path, marks: Path
    ) -> None:
        """Two looks take two messages and one; the next batch starts as this one ends, for its lull is over."""
        send("s", {"take": "first look"}, id="1")
        send("s", {"take": "second look", "until": "end"}, id="2", flush=True)
        wait_until(lambda: follower.started() == 1, description="the handler runs")
        for id in ("3", "4"):
            send("s", "hello", id=id)
        (marks / "first look").touch()
        wait_until(lambda: took(notes_path, "s") == [["3", "4"]], description="it has looked")
        send("s", "hello", id="5")
        (marks / "second look").touch()
        wait_until(lambda: len(took(notes_path, "s")) == 2, description="it has looked again")
        send("s", "hello", id="6")
        over = time.monotonic() + DEBOUNCE
        wait_until(lambda: time.monotonic() > over, description="the lull is over")
        (marks / "end").touch()
        wait_until(lambda: follower.handled() == 6, description="all is handled")

        follower.report().assert_clean()
        assert took(notes_path, "s") == [["3", "4"], ["5"]]
        first, second = follower.runs("s")
        assert (first.ids, second.ids) == (("1", "2", "3", "4", "5"), ("6",))
        assert first.end is not None
        assert second.start.at - first.end.at < DEBOUNCE * 1000, "it waited for another lull"
        assert second.start.batch != first.start.batch

    @pytest.mark.settings(max_batch=MAX_BATCH)
    def test_what_was_taken_is_tried_again_with_its_batch_and_a_batch_grows_to_ten_times_its_size(
        self, inbox: Inbox, send: Send, follower: Follower, notes_path: Path, marks: Path
    ) -> None:
        """After an exception: same batch id, the messages that joined too. Three a call, thirty in all."""
        send("failing", {"take": "look", "fail": ["ValueError", 1]}, id="1", flush=True)
        send("growing", {"take_all": "look"}, id="1", flush=True)
        wait_until(lambda: follower.started() == 2, description="both handlers run")
        send("failing", "hello", id="2")
        for n in range(2, TEN_TIMES + 3):
            send("growing", "hello", id=str(n))
        (marks / "look").touch()
        wait_until(lambda: took(notes_path, "failing") == [["2"]], description="it has looked")
        send("failing", "hello", id="3")
        wait_until(lambda: follower.handled() == 3 + TEN_TIMES + 2, description="all is handled", timeout=RECOVERY)

        follower.report().assert_clean()
        failed, again, later = follower.runs("failing")
        assert (failed.ids, again.ids, later.ids) == (("1", "2"), ("1", "2"), ("3",))
        assert (failed.start.attempt, again.start.attempt, later.start.attempt) == (1, 2, 1)
        assert failed.start.batch == again.start.batch != later.start.batch
        assert [message.id for message in again.start.messages] == ["1", "2"]
        calls = took(notes_path, "growing")
        assert [len(call) for call in calls] == [MAX_BATCH] * 9 + [2, 0]
        grown, rest = follower.runs("growing")
        assert len(grown.ids) == TEN_TIMES
        assert rest.ids == (str(TEN_TIMES + 1), str(TEN_TIMES + 2))
        wait_until(lambda: inbox.stats().handled == 3 + TEN_TIMES + 2, description="the acks are in")

    def test_what_joins_ends_at_a_command_and_at_another_batch_key(
        self, send: Send, follower: Follower, notes_path: Path, marks: Path
    ) -> None:
        """Neither is passed over: what comes behind waits with it."""
        send("command", {"take_all": "look"}, id="1", flush=True)
        send("key", {"from": "ann", "take_all": "look"}, id="1", flush=True)
        wait_until(lambda: follower.started() == 2, description="both handlers run")
        for id, body in {"2": "hello", "3": ",help", "4": "hello"}.items():
            send("command", body, id=id)
        for id, who in {"2": "ann", "3": "bob", "4": "ann"}.items():
            send("key", {"from": who}, id=id)
        (marks / "look").touch()
        wait_until(lambda: follower.handled() == 8, description="all is handled", timeout=RECOVERY)

        check(follower.events(), command_order="in_line").assert_clean()
        assert took(notes_path, "command") == took(notes_path, "key") == [["2"], []]
        assert [run.ids for run in follower.runs("command")] == [("1", "2"), ("3",), ("4",)]
        assert [run.kind for run in follower.runs("command")] == ["batch", "command", "batch"]
        assert [run.ids for run in follower.runs("key")] == [("1", "2"), ("3",), ("4",)]


@pytest.mark.handlers(plain={}, coro={"is_async": True})
class TestKilledWorkers:
    """A worker is killed after its handlers have taken something."""

    @pytest.fixture
    def worker_args(self) -> tuple[str, ...]:
        return ("--pool", "prefork", "--concurrency", "2")

    def test_what_was_taken_is_tried_again_with_its_batch_after_sigkill(
        self,
        celery_setup: CeleryTestSetup,
        inbox: Inbox,
        data: redis.Redis,
        history: History,
        follower: Follower,
        notes_path: Path,
        marks: Path,
        start_worker: Callable[..., CeleryTestWorker],
    ) -> None:
        """The other worker is given what the first one had at last; what came after its last look comes after it."""
        inboxes = {name: Inbox(celery_setup.app, name) for name in ("plain", "coro")}

        def send(name: str, body: Any, id: str) -> None:
            history.sent(name, inboxes[name].send(name, body, id=id, flush=True))

        for name in inboxes:
            send(name, {"take": "look", "until": "second worker"}, "1")
        wait_until(lambda: follower.started() == 2, description="both handlers run")
        for name in inboxes:
            send(name, "hello", "2")
        (marks / "look").touch()
        for name in inboxes:
            wait_until(lambda name=name: took(notes_path, name) == [["2"]], description=f"{name} has looked")  # type: ignore[misc]
            send(name, "hello", "3")
        celery_setup.worker.kill()
        (marks / "second worker").touch()
        start_worker("--inbox", "all")
        wait_until(lambda: follower.handled() == 6, description="all is handled", timeout=RECOVERY)

        follower.report().assert_clean()
        for name in inboxes:
            killed, again, later = follower.runs(name)
            assert killed.end is None
            assert (killed.ids, again.ids, later.ids) == (("1",), ("1", "2"), ("3",))
            assert [message.id for message in again.start.messages] == ["1", "2"]
            assert killed.start.batch == again.start.batch != later.start.batch
            assert (killed.start.attempt, again.start.attempt, later.start.attempt) == (1, 2, 1)


def took(path: Path, session: str) -> list[list[str]]:
    """Ids that each call of take_new gave, in order."""
    return [line["took"] for line in notes(path) if "took" in line and line["session"] == session]
