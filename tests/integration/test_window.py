"""WIN-1 and DUE-3: which messages count, and what makes a batch due later or at once."""

import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_celery import CeleryTestSetup

from celery_inbox import CHAT, Inbox
from celery_inbox.testing import Sent
from waiting import wait_until

from .conftest import Send, bot
from .follow import Follower
from .load import Call, play

DEBOUNCE = 0.6  # seconds
MAX_WAIT = 2.0  # seconds
LATE = 1000  # ms that a start may be late on a machine that may be busy
LONG = 60.0  # seconds, longer than any test

pytestmark = pytest.mark.settings(partitions=4)


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "6")


def first_start(follower: Follower, session: str) -> int:
    """When the first run of a session began, Unix ms."""
    return follower.runs(session)[0].start.at


@pytest.mark.settings(debounce=DEBOUNCE, max_wait=MAX_WAIT, active_window=1.0)
def test_lines_that_do_not_address_the_bot_count_within_the_window_and_never_prolong_the_lull(
    inbox: Inbox, send: Send, follower: Follower
) -> None:
    """Ignored before the first active one and after the window; stored within it; alone due after max_wait."""
    assert send("s", "before", id="0", active=False).status == "ignored"
    assert inbox.peek("s") is None
    active = send("s", "hey bot", id="1")
    due_at = active.due_at
    for id in ("2", "3"):
        receipt = send("s", "chatter", id=id, active=False)
        assert (receipt.status, receipt.due_at) == ("accepted", due_at)
    wait_until(lambda: follower.handled() == 3, description="the first batch is handled")
    alone = send("s", "chatter", id="4", active=False)
    assert alone.status == "accepted"
    wait_until(lambda: send("s", "late", active=False).status == "ignored", description="the window closes")
    assert send("s", "before", id="0", active=False).status == "ignored", "an ignored id was remembered"
    stored = [event.id for event in follower.events() if isinstance(event, Sent) and event.status == "accepted"]
    wait_until(lambda: follower.handled() == len(stored), description="what was stored is handled")

    follower.report().assert_clean()
    first, second = follower.runs("s")
    assert first.ids == ("1", "2", "3")
    assert [message.active for message in first.messages] == [True, False, False]
    assert due_at is not None
    assert due_at <= first.start.at < due_at + LATE
    assert second.ids[0] == "4"
    assert not any(message.active for message in second.messages)
    assert second.start.at >= second.messages[0].at + MAX_WAIT * 1000
    assert inbox.stats().accepted == len(stored)


def test_the_preset_for_chats_is_a_second_ten_seconds_and_a_minute(celery_setup: CeleryTestSetup, data: Any) -> None:
    """The receipts of an inbox that is made with it say so."""
    chat = Inbox(celery_setup.app, "preset", **CHAT)
    assert chat.send("s", "not for the bot", active=False).status == "ignored"
    receipt = chat.send("s", "hey bot")
    view = chat.peek("s")
    assert view is not None
    [message] = view.messages
    assert receipt.due_at == message.at + 1000
    assert chat.send("s", "not for the bot", active=False).status == "accepted"
    assert (chat.settings.max_wait, chat.settings.active_window) == (10.0, 60.0)
    assert len(chat.drop("s")) == 2


@pytest.mark.settings(debounce=DEBOUNCE, max_wait=MAX_WAIT)
def test_typing_pushes_the_batch_back_as_far_as_max_wait(inbox: Inbox, send: Send, follower: Follower) -> None:
    """Touched every quarter second: due at max_wait, not at the first lull; a touch of an idle session does nothing."""
    assert inbox.touch("idle") is None
    assert inbox.peek("idle") is None
    for session in ("typing", "silent", "for a while"):
        send(session, "hello", id="1")
    play(
        [Call(0.25 * n, lambda: inbox.touch("typing")) for n in range(1, 9)]
        + [Call(0.4, lambda: inbox.touch("for a while"))]
    )
    wait_until(lambda: follower.handled() == 3, description="all three are handled")
    follower.report().assert_clean()
    waits = {
        session: first_start(follower, session) - follower.runs(session)[0].messages[0].at
        for session in ("typing", "silent", "for a while")
    }
    assert DEBOUNCE * 1000 <= waits["silent"] < DEBOUNCE * 1000 + LATE
    assert DEBOUNCE * 1000 + 400 <= waits["for a while"] < DEBOUNCE * 1000 + 400 + LATE
    assert MAX_WAIT * 1000 <= waits["typing"] < MAX_WAIT * 1000 + LATE


@pytest.mark.settings(debounce=LONG, max_wait=LONG)
@pytest.mark.handlers(chat={"backoff": LONG})
class TestFlush:
    """Nothing is due for a minute by itself, neither a first attempt nor a second."""

    @pytest.fixture
    def inbox(self, celery_setup: CeleryTestSetup) -> Inbox:
        return Inbox(celery_setup.app, "chat", flush_when=lambda body: body["text"].endswith("."))

    def test_a_flush_makes_what_waits_due_now_whoever_asks_for_it(
        self, inbox: Inbox, send: Send, follower: Follower
    ) -> None:
        """By keyword, by the message itself, and by a call: the message and those before it, at once."""
        start = time.monotonic()
        send("keyword", "one", id="1")
        send("keyword", "two", id="2", flush=True)
        send("predicate", {"text": "one"}, id="1")
        send("predicate", {"text": "two."}, id="2")
        for id in ("1", "2"):
            send("call", "hello", id=id)
        assert inbox.flush("call") == 2
        assert inbox.flush("nobody") == 0
        wait_until(lambda: follower.handled() == 6, description="all is handled")
        assert time.monotonic() - start < LONG / 2
        follower.report().assert_clean()
        for session in ("keyword", "predicate", "call"):
            assert [run.ids for run in follower.runs(session)] == [("1", "2")], session

    def test_a_flush_while_a_batch_runs_makes_the_rest_due_as_soon_as_it_is_settled(
        self, inbox: Inbox, send: Send, follower: Follower, marks: Path
    ) -> None:
        """What came before the flush is one batch; what came after it waits for its lull."""
        send("s", {"text": "", "until": "end"}, id="1", flush=True)
        wait_until(lambda: follower.started() == 1, description="the handler runs")
        for id in ("2", "3"):
            send("s", "hello", id=id)
        assert inbox.flush("s") == 2
        (marks / "end").touch()
        wait_until(lambda: follower.handled() == 3, description="the rest is handled")
        assert [run.ids for run in follower.runs("s")] == [("1",), ("2", "3")]
        send("s", "hello", id="4")
        view = inbox.peek("s")
        assert view is not None
        assert view.due_at is not None
        assert view.due_at - view.messages[0].at == LONG * 1000
        assert [message.id for message in inbox.drop("s")] == ["4"]

    def test_a_flush_in_backoff_has_the_batch_tried_now(
        self, inbox: Inbox, send: Send, follower: Follower, marks: Path
    ) -> None:
        """With what waits behind it: the batch is tried again, then the rest, and nobody waits a minute."""
        send("s", {"text": "", "fail_without": "mended"}, id="1", flush=True)
        wait_until(lambda: backs_off(inbox), description="the batch waits for its next attempt")
        send("s", "hello", id="2")
        (marks / "mended").touch()
        assert inbox.flush("s") == 2
        wait_until(lambda: follower.handled() == 2, description="all is handled")
        follower.report().assert_clean()
        assert [(run.ids, run.start.attempt) for run in follower.runs("s")] == [
            (("1",), 1),
            (("1",), 2),
            (("2",), 1),
        ]


def backs_off(inbox: Inbox) -> bool:
    """Whether the session's batch waits for another attempt."""
    view = inbox.peek("s")
    return view is not None and view.batch_id is not None and view.lease_end is None
