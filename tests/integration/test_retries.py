"""FAIL-1: what the end of a handler means, in Celery's words, in every pool and in both colours."""

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import redis
from celery import Celery
from pytest_celery import CeleryTestSetup

from celery_inbox import ConfigurationError, Inbox
from celery_inbox.testing import History, Run, check
from waiting import wait_until

from .conftest import Refused, bot
from .follow import Follower, notes

BACKOFF = 0.2  # seconds
RETRY_IN = 0.6  # seconds, what the bot says to retry()
RECOVERY = 20.0  # seconds; a lease and a dispatcher's sleep, on a machine that may be busy
POOLS = [("prefork", 4), ("threads", 8), ("solo", 1)]

pytestmark = pytest.mark.settings(partitions=4, debounce=0.05)


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


class Row(NamedTuple):
    """What a handler does, and what comes of it."""

    fails: list[Any]
    """What it raises, and on how many attempts."""
    runs: int
    """Attempts in all."""
    pause: float
    """Least seconds between two attempts."""
    ends: str
    """``handled`` or why it is dead."""


ROWS = {
    "an exception": Row(["ValueError", 1], 2, BACKOFF / 2, "handled"),
    "two exceptions": Row(["ValueError", 2], 3, BACKOFF / 2, "handled"),
    "exceptions to the last": Row(["ValueError", 9], 3, BACKOFF / 2, "ValueError: asked to fail"),
    "retry": Row(["retry", 1], 2, RETRY_IN, "handled"),
    "retry to the last": Row(["retry", 9], 3, RETRY_IN, "Retry: "),
    "reject": Row(["Reject", 9], 1, 0, "Reject: not for us"),
    "requeue": Row(["Requeue", 1], 2, BACKOFF / 2, "handled"),
    "requeue to the last": Row(["Requeue", 9], 3, BACKOFF / 2, "Reject: not now"),
    "ignore": Row(["Ignore", 9], 1, 0, "handled"),
    "a soft time limit": Row(["SoftTimeLimitExceeded", 1], 2, BACKOFF / 2, "handled"),
}
OPTIONS: dict[str, Any] = {"backoff": BACKOFF, "max_attempts": 3}
AUTO: dict[str, Any] = {
    "backoff": 60.0,
    "max_attempts": 3,
    "autoretry_for": ["OSError"],
    "retry_backoff": 1,
    "retry_jitter": False,
}


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "prefork", "--concurrency", "4")


@pytest.fixture
def send_to(celery_setup: CeleryTestSetup, inbox: Inbox, data: redis.Redis, history: History) -> Callable[..., Inbox]:
    """Send to one of the worker's inboxes."""
    inboxes = {inbox.name: inbox}

    def send_to(name: str, session: str, body: Any, id: str) -> Inbox:
        found = inboxes[name] = inboxes.get(name) or Inbox(celery_setup.app, name)
        history.sent(session, found.send(session, body, id=id))
        return found

    return send_to


@pytest.mark.usefixtures("worker_args")
@pytest.mark.handlers(
    plain=OPTIONS, coro={**OPTIONS, "is_async": True}, plainauto=AUTO, coroauto={**AUTO, "is_async": True}
)
class TestPools:
    """Plain and async handlers, with and without autoretry_for."""

    @pytest.fixture(params=POOLS, ids=[pool for pool, _ in POOLS])
    def worker_args(self, request: pytest.FixtureRequest) -> tuple[str, ...]:
        pool, slots = request.param
        return ("--pool", pool, "--concurrency", str(slots))

    def test_every_ending_means_what_the_table_says(
        self, send_to: Callable[..., Inbox], follower: Follower, notes_path: Path
    ) -> None:
        """Attempts, pauses, dead letters and Celery's signals; what came behind waits until the batch is settled."""
        inboxes: dict[str, Inbox] = {}
        for colour in ("plain", "coro"):
            for name, row in ROWS.items():
                inboxes[colour] = send_to(colour, f"{colour}: {name}", {"fail": row.fails}, "1")
            auto = f"{colour}auto"
            inboxes[auto] = send_to(auto, f"{auto}: for it", {"fail": ["OSError", 2]}, "1")
            send_to(auto, f"{auto}: for another", {"fail": ["Ignore", 9]}, "1")
        sessions = 2 * (len(ROWS) + 2)
        wait_until(
            lambda: len({run.session for run in follower.runs()}) == sessions,
            description="every session has begun",
            timeout=RECOVERY,
        )
        for colour in ("plain", "coro"):
            for name in ROWS:
                send_to(colour, f"{colour}: {name}", "behind", "2")
        dead = [(f"{colour}: {name}", "1") for colour in ("plain", "coro") for name in ROWS if is_dead(name)]
        accepted = sessions + 2 * len(ROWS)
        wait_until(lambda: follower.handled() == accepted - len(dead), description="all is over", timeout=2 * RECOVERY)
        wait_until(lambda: not any(each.stats().pending for each in inboxes.values()), description="the acks are in")

        check(follower.events(), dead=dead).assert_clean()
        for colour in ("plain", "coro"):
            for name, row in ROWS.items():
                assert_row(follower.runs(f"{colour}: {name}"), row)
            letters = {letter.session: letter for letter in inboxes[colour].dead_letters()}
            assert set(letters) == {session for session, _ in dead if session.startswith(colour)}
            for name, row in ROWS.items():
                if is_dead(name):
                    letter = letters[f"{colour}: {name}"]
                    assert letter.reason.startswith(row.ends), name
                    assert letter.attempts == row.runs
                    assert "steered.py" in letter.traceback or "app.py" in letter.traceback
                    assert [message.id for message in letter.messages] == ["1"]
                    inboxes[colour].purge(letter)
            retried = follower.runs(f"{colour}auto: for it")
            assert [run.end.error for run in retried if run.end] == ["OSError", "OSError", None]
            first, second, third = retried
            assert between(first, second) >= 1.0
            assert between(second, third) >= 2.0, "Celery's backoff did not double"
            assert len(follower.runs(f"{colour}auto: for another")) == 1

            heard = celery_signals(notes_path, f"{colour}.reply")
            assert sorted(heard["task_failure"]) == [
                "MaxRetriesExceededError", "MaxRetriesExceededError", "Reject", "ValueError"
            ]  # fmt: skip
            assert len(heard["task_retry"]) == sum(row.runs - 1 for row in ROWS.values())
            assert len(celery_signals(notes_path, f"{colour}auto.reply")["task_retry"]) == 2


def celery_signals(path: Path, task: str) -> dict[str, list[str]]:
    """Names of the errors that Celery's signals of a task carried, by signal."""
    heard = defaultdict(list)
    for line in notes(path):
        if line.get("sender") == task:
            heard[line["signal"]].append(line["error"])
    return heard


def is_dead(name: str) -> bool:
    """Whether a row ends in a dead letter."""
    return ROWS[name].ends != "handled"


def between(earlier: Run, later: Run) -> float:
    """Seconds from the end of a run to the start of another one."""
    assert earlier.end is not None
    return (later.start.at - earlier.end.at) / 1000


def assert_row(runs: list[Run], row: Row) -> None:
    """The attempts of the first batch, then the batch behind it."""
    *attempts, behind = runs
    assert [run.start.attempt for run in attempts] == list(range(1, row.runs + 1)), row
    assert {run.ids for run in attempts} == {("1",)}
    assert len({run.start.batch for run in attempts}) == 1
    for earlier, later in pairwise(attempts):
        assert between(earlier, later) >= row.pause, row
        assert earlier.start.fence < later.start.fence
    assert (behind.ids, behind.start.attempt) == (("2",), 1), row


@pytest.mark.handlers(
    park={"backoff": BACKOFF, "max_attempts": 2},
    hold={"backoff": BACKOFF, "max_attempts": 2, "on_exhausted": "hold"},
    isolate={"backoff": BACKOFF, "max_attempts": 2, "on_exhausted": "isolate"},
    limited={"backoff": BACKOFF, "soft_time_limit": 1},
    limitedcoro={"backoff": BACKOFF, "soft_time_limit": 1, "is_async": True},
)
class TestLastAttempts:
    """One inbox for each way of treating a batch that has had its last attempt, and two with a soft time limit."""

    def test_after_the_last_attempt_a_batch_is_parked_held_or_isolated(
        self, send_to: Callable[..., Inbox], follower: Follower, notes_path: Path, marks: Path
    ) -> None:
        """Good, bad, good, and one more behind: only the bad one is lost, or nothing goes on until somebody says so."""
        inboxes = {}
        for name in ("park", "hold", "isolate"):
            for id, body in {"1": "good", "2": {"fail_without": "mended"}, "3": "good"}.items():
                inboxes[name] = send_to(name, name, body, id)
        for name in inboxes:
            wait_until(lambda name=name: follower.started(name) >= 1, description="it runs")  # type: ignore[misc]
            send_to(name, name, "behind", "4")
        wait_until(lambda: follower.handled() == 1 + 3, description="the others go on", timeout=RECOVERY)
        wait_until(lambda: inboxes["hold"].stats().stopped == 1, description="one is held")

        [parked] = inboxes["park"].dead_letters()
        assert [message.id for message in parked.messages] == ["1", "2", "3"]
        assert ids_and_attempts(follower, "park") == [("1 2 3", 1), ("1 2 3", 2), ("4", 1)]
        [isolated] = inboxes["isolate"].dead_letters()
        assert [message.id for message in isolated.messages] == ["2"]
        assert ids_and_attempts(follower, "isolate") == [
            ("1 2 3", 1), ("1 2 3", 2), ("1", 1), ("2", 1), ("3", 1), ("4", 1)
        ]  # fmt: skip
        whole, _, *alone, _ = [run.start.batch for run in follower.runs("isolate")]
        assert alone == [f"{whole}/1", f"{whole}/2", f"{whole}/3"]
        assert isolated.id == f"{whole}/2"
        assert ids_and_attempts(follower, "hold") == [("1 2 3", 1), ("1 2 3", 2)]
        view = inboxes["hold"].peek("hold")
        assert view is not None
        assert view.stopped
        assert (view.waiting, len(view.batch), inboxes["hold"].dead_letters()) == (1, 3, [])

        (marks / "mended").touch()
        assert inboxes["hold"].resume("hold")
        wait_until(lambda: follower.handled() == 8, description="what was held goes on", timeout=RECOVERY)
        assert ids_and_attempts(follower, "hold") == [("1 2 3", 1), ("1 2 3", 2), ("1 2 3", 1), ("4", 1)]
        assert [inboxes[name].purge(letter) for name, letter in (("park", parked), ("isolate", isolated))] == [3, 1]
        dead = [("park", id) for id in "123"] + [("isolate", "2")]
        check(follower.events(), dead=dead).assert_clean()
        failures = [line["sender"] for line in notes(notes_path) if line.get("signal") == "task_failure"]
        assert sorted(failures) == ["hold.reply", "isolate.reply", "isolate.reply", "park.reply"]

    @pytest.mark.alone
    def test_a_soft_time_limit_ends_an_attempt_of_a_plain_and_of_an_async_handler(
        self, send_to: Callable[..., Inbox], follower: Follower, marks: Path
    ) -> None:
        """The batch is tried again after the backoff, each attempt with the whole limit."""
        for name in ("limited", "limitedcoro"):
            send_to(name, name, {"until": "second"}, "1")
        wait_until(lambda: follower.finished() == 2, description="both were interrupted", timeout=RECOVERY)
        (marks / "second").touch()
        wait_until(lambda: follower.handled() == 2, description="both are handled", timeout=RECOVERY)
        follower.report().assert_clean()
        for name, error in {"limited": "SoftTimeLimitExceeded", "limitedcoro": "CancelledError"}.items():
            first, second = follower.runs(name)
            assert first.end is not None
            assert first.end.error == error
            assert first.end.at - first.start.at >= 900
            assert (first.start.attempt, second.start.attempt) == (1, 2)

    def test_celery_hears_of_success_after_the_ack(
        self, send_to: Callable[..., Inbox], follower: Follower, notes_path: Path
    ) -> None:
        """Who acts on task_success finds the batch settled."""
        inbox = send_to("park", "park", "hello", "1")
        wait_until(lambda: "task_success" in signals(notes_path, "park"), description="Celery has said so")
        told = [each for each in signals(notes_path, "park") if each in ("acked", "task_success")]
        assert told == ["acked", "task_success"]
        assert inbox.stats().handled == 1
        follower.report().assert_clean()


@pytest.mark.handlers(chat={"is_async": True, "autoretry_for": ["OSError"]})
def test_an_async_handler_on_gevent_is_refused_with_autoretry_too(refused: Refused) -> None:
    """What Celery wraps around it does not hide that it is one."""
    code, log = refused("--pool", "gevent", "--inbox", "all")
    assert code != 0
    assert "chat.reply is an async handler and the pool is gevent" in log


def ids_and_attempts(follower: Follower, session: str) -> list[tuple[str, int]]:
    """Ids and attempt of every run."""
    return [(" ".join(run.ids), run.start.attempt) for run in follower.runs(session)]


def signals(path: Path, inbox: str) -> list[str]:
    """Signals of an inbox and of its handler, in order."""
    return [line["signal"] for line in notes(path) if line.get("sender") in (f"inbox {inbox}", f"{inbox}.reply")]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_retries": 3}, "say max_attempts"),
        ({"autoretry_for": (OSError,), "retry_kwargs": {"max_retries": 3}}, "say max_attempts"),
    ],
    ids=["as an option", "for autoretry"],
)
def test_max_retries_is_refused_where_the_handler_is_bound(options: dict[str, Any], word: str) -> None:
    """At once, with the word to say instead, and not when the first batch fails."""
    with pytest.raises(ConfigurationError, match=word):
        Inbox(Celery("refused", set_as_current=False), "chat").handler(**options)
