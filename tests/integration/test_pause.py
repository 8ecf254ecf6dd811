"""CTL-2: people stop a session, let it go on, empty it, forget it."""

from collections.abc import Callable
from functools import partial
from itertools import count, islice
from pathlib import Path
from types import ModuleType

import pytest

from celery_inbox import Inbox
from celery_inbox.testing import History, check
from waiting import wait_until

from .conftest import Send, bot
from .follow import Follower, notes

RECOVERY = 20.0  # seconds

pytestmark = [
    pytest.mark.settings(partitions=4),
    pytest.mark.handlers(chat={"max_attempts": 2, "backoff": 0.2, "on_exhausted": "park"}),
]


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "6")


@pytest.fixture
def a_lull_passes(send: Send, follower: Follower) -> Callable[[], None]:
    """Wait until a session that nobody stops has been through a whole lull, twice."""
    numbers = count(1)

    def passes() -> None:
        for number in islice(numbers, 2):
            send("clock", number)
            wait_until(partial(has_finished, number), description="a lull has passed")

    def has_finished(number: int) -> bool:
        return follower.finished("clock") == number

    return passes


def ids_of(follower: Follower, session: str) -> list[tuple[str, ...]]:
    """What each run had."""
    return [run.ids for run in follower.runs(session)]


def test_a_paused_session_collects_and_goes_on_where_it_was_when_it_is_resumed(
    inbox: Inbox, send: Send, follower: Follower, marks: Path, a_lull_passes: Callable[[], None]
) -> None:
    """Paused while idle, while a message waits, while a batch runs (it may finish): nothing starts till resume."""
    inbox.pause("idle")
    send("waiting", "hello", id="1")
    inbox.pause("waiting")
    send("running", {"until": "end"}, id="1", flush=True)
    wait_until(lambda: follower.started("running") == 1, description="the handler runs")
    inbox.pause("running")
    (marks / "end").touch()
    for session in ("idle", "waiting", "running"):
        send(session, "hello", id="2")
        send(session, "hello", id="3", flush=True)
    a_lull_passes()
    assert [ids_of(follower, session) for session in ("idle", "waiting", "running")] == [[], [], [("1",)]]
    for session, waiting in {"idle": 2, "waiting": 3, "running": 2}.items():
        view = inbox.peek(session)
        assert view is not None
        assert (view.stopped, view.stopped_until, view.due_at, view.waiting) == (True, None, None, waiting)
    assert inbox.stats().stopped == 3

    assert [inbox.resume(session) for session in ("idle", "waiting", "running")] == [True, True, True]
    assert inbox.resume("idle") is False
    wait_until(lambda: follower.handled() == 8 + follower.finished("clock"), description="all is handled")
    follower.report().assert_clean()
    assert ids_of(follower, "idle") == [("2", "3")]
    assert ids_of(follower, "waiting") == [("1", "2", "3")]
    assert ids_of(follower, "running") == [("1",), ("2", "3")]


def test_a_pause_with_an_end_ends_by_itself(inbox: Inbox, send: Send, follower: Follower) -> None:
    """Not before its time, and with nobody's help."""
    inbox.pause("s", for_=1.5)
    receipt = send("s", "hello", id="1", flush=True)
    assert receipt.due_at is None
    view = inbox.peek("s")
    assert view is not None
    assert view.stopped_until is not None
    wait_until(lambda: follower.handled() == 1, description="the pause is over", timeout=RECOVERY)
    assert follower.runs("s")[0].start.at >= view.stopped_until
    assert 1000 < view.stopped_until - receipt_at(follower) <= 1500
    follower.report().assert_clean()


def receipt_at(follower: Follower) -> int:
    """When the message was accepted."""
    return follower.runs("s")[0].messages[0].at


def test_drop_returns_what_it_took_out_and_a_running_batch_goes_on(
    inbox: Inbox, send: Send, follower: Follower, marks: Path
) -> None:
    """250 messages in pages, in send order, with their bodies; the ids stay remembered."""
    send("s", {"until": "end"}, id="first", flush=True)
    wait_until(lambda: follower.started() == 1, description="the handler runs")
    for n in range(250):
        send("s", {"number": n}, id=str(n))
    dropped = inbox.drop("s")
    assert [(message.id, message.body) for message in dropped] == [(str(n), {"number": n}) for n in range(250)]
    assert inbox.drop("s") == []
    (marks / "end").touch()
    wait_until(lambda: inbox.peek("s") is None, description="the running batch is handled")
    assert send("s", "again", id="7").status == "duplicate"
    send("s", "hello", id="last")
    wait_until(lambda: follower.handled() == 2, description="the session goes on")
    check(follower.events(), taken=[("s", str(n)) for n in range(250)]).assert_clean()
    wait_until(lambda: inbox.stats().handled == 2, description="the ack is in")
    stats = inbox.stats()
    assert (stats.accepted, stats.handled, stats.dropped, stats.pending) == (252, 2, 250, 0)


def test_forget_deletes_everything_and_a_running_handler_finds_its_batch_lost(
    inbox: Inbox, send: Send, history: History, follower: Follower, notes_path: Path
) -> None:
    """Messages, a command, the running batch, dead letters, remembered ids: counted, gone, and sent anew."""
    send("s", {"fail": ["Reject", 9]}, id="dead", flush=True)
    wait_until(lambda: len(inbox.dead_letters()) == 1, description="a batch is dead")
    send("s", {"until_lost": True}, id="1", flush=True)
    wait_until(lambda: follower.started() == 2, description="the handler runs")
    send("s", "hello", id="2")
    send("s", "hello", id="3")
    history.sent("s", inbox.send_command("s", "a command that nobody serves", id="4"))
    assert inbox.forget("s") == {"messages": 4, "dead": 1}
    assert inbox.forget("s") == {"messages": 0, "dead": 0}
    assert inbox.peek("s") is None
    assert inbox.dead_letters() == []
    wait_until(lambda: any(line.get("saw") == "lost" for line in notes(notes_path)), description="the handler was told")
    wait_until(lambda: follower.finished("s") == 2, description="the handler ended")

    assert send("s", "hello", id="2").status == "accepted"
    wait_until(lambda: inbox.stats().handled == 1, description="the session begins anew")
    stats = inbox.stats()
    assert (stats.accepted, stats.handled, stats.removed, stats.dead, stats.pending) == (6, 1, 4, 1, 0)
    taken = [("s", id) for id in ("dead", "1", "3", "4")]
    check(follower.events(), taken=taken).assert_clean()


def test_redriven_dead_letters_are_batches_of_their_own_in_the_order_of_redrive(
    inbox: Inbox, send: Send, follower: Follower, marks: Path
) -> None:
    """Two come back behind what waits, due now, each with its own messages; a second redrive finds none."""
    for n in ("1", "2"):
        send("s", {"fail_without": "mended"}, id=f"{n}a")
        send("s", "hello", id=f"{n}b", flush=True)
        wait_until(lambda n=n: len(inbox.dead_letters()) == int(n), description="a batch is dead")  # type: ignore[misc]
    (marks / "mended").touch()
    first, second = inbox.dead_letters(session="s")
    assert [[message.id for message in letter.messages] for letter in (first, second)] == [["1a", "1b"], ["2a", "2b"]]
    inbox.pause("s")
    send("s", "hello", id="3")
    assert [inbox.redrive(letter) for letter in (first, second)] == [2, 2]
    assert inbox.redrive(first) == 0
    inbox.resume("s")
    wait_until(lambda: follower.handled() == 5, description="all is handled", timeout=RECOVERY)
    assert ids_of(follower, "s")[4:] == [("3",), ("1a", "1b"), ("2a", "2b")]
    assert {run.start.attempt for run in follower.runs("s")[4:]} == {1}
    report = follower.report()
    report.assert_clean(allow={"REORDER"})
    wait_until(lambda: inbox.stats().handled == 5, description="the acks are in")
    assert (inbox.stats().dead, inbox.stats().dead_letters) == (0, 0)
