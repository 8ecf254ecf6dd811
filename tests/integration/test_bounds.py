"""LIM-1: what bounds a session, an inbox and a batch."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_celery import CeleryTestSetup

from celery_inbox import Inbox, InboxFull, Stats
from celery_inbox.testing import check
from waiting import wait_until

from .conftest import Send, bot
from .follow import Follower, notes

RECOVERY = 20.0  # seconds
INTERVAL = 0.8  # seconds

pytestmark = pytest.mark.settings(partitions=4)


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "4")


@pytest.fixture(autouse=True)
def every_message_is_counted_once(inbox: Inbox) -> Iterator[None]:
    """Promise 8, at the end of each test, when all is at rest."""
    yield
    wait_until(lambda: inbox.stats().pending == 0, description="nothing is pending")
    stats = inbox.stats()
    assert sum_of(stats) == stats.accepted > 0


def sum_of(stats: Stats) -> int:
    """What became of accepted messages."""
    ended = stats.handled + stats.dead + stats.dropped + stats.removed + stats.cancelled + stats.quarantined
    return ended + stats.pending


@pytest.mark.settings(max_pending=3, max_batch=3, max_pending_bytes=1000, max_message_bytes=1000)
def test_a_full_session_refuses_by_name_and_takes_again_what_fits_when_it_has_room(
    inbox: Inbox, send: Send, follower: Follower, marks: Path
) -> None:
    """Three messages, or a thousand bytes: the fourth is refused and its id is free; send_many says which."""
    for session in ("count", "bytes"):
        send(session, {"until": "go"}, id="0", flush=True)
        wait_until(lambda session=session: follower.started(session) == 1, description="the handler runs")  # type: ignore[misc]
    for id in "123":
        send("count", "hello", id=id)
    with pytest.raises(InboxFull, match="max_pending=3") as refused:
        inbox.send("count", "hello", id="4")
    assert refused.value.waiting == 3
    with pytest.raises(InboxFull) as some:
        inbox.send_many([("count", "hello", "4"), ("other", "hello", "1"), ("count", "hello", "5")])
    assert [receipt and receipt.id for receipt in some.value.receipts] == [None, "1", None]
    send("other", "hello", id="1")

    send("bytes", "x" * 600, id="1")
    with pytest.raises(InboxFull, match="max_pending_bytes=1000"):
        inbox.send("bytes", "x" * 600, id="2")
    send("bytes", "x" * 300, id="3")

    (marks / "go").touch()
    wait_until(lambda: follower.handled() == 8, description="all is handled", timeout=RECOVERY)
    assert send("count", "hello", id="4").status == "accepted"
    assert send("bytes", "x" * 600, id="2").status == "accepted"
    wait_until(lambda: follower.handled() == 10, description="so is what was refused before", timeout=RECOVERY)
    follower.report().assert_clean()


@pytest.mark.settings(max_pending=3, max_batch=3, overflow="drop_oldest")
def test_under_drop_oldest_the_receipt_names_what_made_room(
    inbox: Inbox, send: Send, follower: Follower, marks: Path
) -> None:
    """Only what waits is dropped, oldest first; the running batch is not, and dropped ids stay remembered."""
    send("s", {"until": "go"}, id="0", flush=True)
    wait_until(lambda: follower.started() == 1, description="the handler runs")
    receipts = [send("s", "hello", id=str(n)) for n in range(1, 7)]
    assert [receipt.dropped for receipt in receipts] == [(), (), (), ("1",), ("2",), ("3",)]
    assert {receipt.status for receipt in receipts} == {"accepted"}
    assert send("s", "hello", id="2").status == "duplicate"
    (marks / "go").touch()
    wait_until(lambda: follower.handled() == 4, description="the rest is handled")
    assert [run.ids for run in follower.runs("s")] == [("0",), ("4", "5", "6")]
    check(follower.events(), taken=[("s", id) for id in "123"]).assert_clean()
    assert inbox.stats().dropped == 3


@pytest.mark.settings(min_interval=INTERVAL, debounce=0.05)
def test_batches_of_a_session_start_no_closer_than_min_interval(send: Send, follower: Follower) -> None:
    """Start to start, however short the lull is; another session is not concerned."""
    for n in range(3):
        send("s", "hello", id=str(n))
        send(f"other {n}", "hello", id="0")
        wait_until(lambda n=n: follower.finished("s") == n + 1, description="a batch is handled")  # type: ignore[misc]
    wait_until(lambda: follower.handled() == 6, description="all is handled")
    follower.report().assert_clean()
    starts = [run.start.at for run in follower.runs("s")]
    # The interval is measured from claim to claim, a moment before the handler's own note.
    assert all(later - earlier >= INTERVAL * 1000 - 100 for earlier, later in pairwise(starts)), starts
    for n in range(3):
        [run] = follower.runs(f"other {n}")
        assert run.start.at - run.messages[0].at < INTERVAL * 1000


class TestBatchKeys:
    """Only neighbours with equal keys share a batch."""

    @pytest.fixture
    def inbox(self, celery_setup: CeleryTestSetup) -> Inbox:
        return Inbox(celery_setup.app, "chat", batch_key=lambda body: body["key"])

    def test_a_batch_ends_where_the_key_changes(self, send: Send, follower: Follower) -> None:
        """A, A, B, A is three batches, in that order; bodies whose key cannot be found share one."""
        told: list[Any] = [{"key": "A"}, {"key": "A"}, {"key": "B"}, {"key": "A"}, "no key", "none either"]
        for n, body in enumerate(told):
            send("s", body, id=str(n))
        wait_until(lambda: follower.handled() == 6, description="all is handled")
        follower.report().assert_clean()
        assert [run.ids for run in follower.runs("s")] == [("0", "1"), ("2",), ("3",), ("4", "5")]


@pytest.mark.settings(max_dead=2)
@pytest.mark.handlers(chat={"max_attempts": 1})
def test_max_dead_counts_the_whole_inbox_and_the_oldest_go_with_a_signal(
    inbox: Inbox, send: Send, follower: Follower, notes_path: Path
) -> None:
    """Five dead letters in five sessions of several partitions: the last two stay, three ids are told."""
    dead = []
    for n in range(5):
        session = f"session {n}"
        send(session, {"fail": ["ValueError", 1]}, id="1", flush=True)
        wait_until(
            lambda session=session: any(letter.session == session for letter in inbox.dead_letters()),  # type: ignore[misc]
            description="its batch is dead",
        )
        dead.append(next(letter.id for letter in inbox.dead_letters() if letter.session == session))
    assert len({id.partition("-")[0] for id in dead}) > 1, "all died in one partition"
    wait_until(lambda: inbox.stats().dead_letters == 2, description="the oldest are gone")
    assert [letter.id for letter in inbox.dead_letters()] == dead[3:]
    wait_until(lambda: len(told(notes_path, "dead_evicted")) == 3, description="three evictions were told")
    stats = inbox.stats()
    assert (stats.dead, stats.dead_evicted) == (5, 3)
    check(follower.events(), dead=[(f"session {n}", "1") for n in range(5)]).assert_clean()
    for letter in inbox.dead_letters():
        inbox.purge(letter)


def told(path: Path, signal: str) -> list[dict[str, Any]]:
    """Notes of a signal."""
    return [line for line in notes(path) if line.get("signal") == signal]
