"""CTL-3: messages are edited and taken back while they wait."""

from pathlib import Path
from types import ModuleType

import pytest

from celery_inbox import Inbox, InboxFull
from celery_inbox.testing import check
from waiting import wait_until

from .conftest import Send, bot
from .follow import Follower

pytestmark = pytest.mark.settings(partitions=4, max_pending_bytes=2000, max_message_bytes=2000)


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "4")


@pytest.mark.settings(debounce=0.6, max_wait=3.0)
def test_a_waiting_message_is_edited_in_its_place_or_taken_out_and_the_lull_is_not_prolonged(
    inbox: Inbox, send: Send, follower: Follower, marks: Path
) -> None:
    """The handler gets the new body under the old id and arrival; what was removed is in no run."""
    send("s", "one", id="1", headers={"lang": "de"})
    due_at = [send("s", body, id=id).due_at for id, body in {"2": "two", "3": "three"}.items()][-1]
    before = inbox.peek("s")
    assert before is not None
    assert inbox.replace("s", "1", {"until": "edited"}, headers={"lang": "en"})
    assert inbox.remove("s", "2")
    assert not inbox.remove("s", "2")
    assert not inbox.replace("s", "2", "gone")
    assert not inbox.remove("s", "nobody's")
    with pytest.raises(InboxFull):
        inbox.replace("s", "3", "x" * 1990)
    after = inbox.peek("s")
    assert after is not None
    assert [(message.id, message.body) for message in after.messages] == [("1", {"until": "edited"}), ("3", "three")]
    assert after.messages[0].at == before.messages[0].at
    assert after.messages[0].headers == {"lang": "en"}
    assert after.due_at == due_at == before.due_at

    wait_until(lambda: follower.started() == 1, description="the handler runs, and waits as the new body says")
    [run] = follower.runs("s")
    assert run.ids == ("1", "3")
    (marks / "edited").touch()
    wait_until(lambda: inbox.stats().handled == 2, description="the batch is handled")
    stats = inbox.stats()
    assert (stats.accepted, stats.handled, stats.removed, stats.pending) == (3, 2, 1, 0)
    assert send("s", "again", id="2").status == "duplicate"
    check(follower.events(), taken=[("s", "2")]).assert_clean()


@pytest.mark.handlers(chat={"backoff": 60.0})
def test_it_is_too_late_for_what_runs_waits_for_another_attempt_or_is_done(
    inbox: Inbox, send: Send, follower: Follower, marks: Path
) -> None:
    """False, and nothing is changed; what waits behind a running batch can still be edited."""
    send("runs", {"until": "end"}, id="1", flush=True)
    send("fails", {"fail_without": "mended"}, id="1", flush=True)
    send("done", "hello", id="1", flush=True)
    wait_until(lambda: follower.finished("done") == 1, description="one is done")
    wait_until(lambda: inbox.peek("done") is None, description="and settled")
    wait_until(lambda: follower.finished("fails") == 1, description="one has failed")
    wait_until(lambda: follower.started("runs") == 1, description="one runs")
    for session in ("runs", "fails", "done"):
        assert not inbox.replace(session, "1", "too late"), session
        assert not inbox.remove(session, "1"), session
    for id in ("2", "3"):
        send("runs", "hello", id=id)
    assert inbox.remove("runs", "2")
    assert inbox.replace("runs", "3", "edited")
    for mark in ("end", "mended"):
        (marks / mark).touch()
    inbox.flush("fails")
    wait_until(lambda: follower.handled() == 4, description="all is handled")
    assert [run.ids for run in follower.runs("runs")] == [("1",), ("3",)]
    assert [run.ids for run in follower.runs("fails")] == [("1",), ("1",)]
    check(follower.events(), taken=[("runs", "2")]).assert_clean()
