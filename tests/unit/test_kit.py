"""The test kit: a clock by hand, the real handlers, assertions that say what they found."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject

from celery_inbox import Batch, Command, ConfigurationError, Inbox, InvalidSession
from celery_inbox.testing import Clock, InboxKit, batch, clock, command, crash


def an_inbox(name: str = "chat", app: Celery | None = None, **settings: Any) -> Inbox:
    """An inbox of an app of its own, whose broker nobody could reach."""
    app = app or Celery("kit", broker="redis://127.0.0.1:1/0", set_as_current=False)
    return Inbox(app, name, **settings)


def nothing(work: Batch | Command) -> None:
    """Handle a batch or a command."""


@pytest.fixture
def chat() -> Inbox:
    """An inbox with handlers that do nothing."""
    inbox = an_inbox(is_command=",")
    inbox.handler(name="reply", max_attempts=3)(nothing)
    inbox.command_handler(name="obey")(nothing)
    return inbox


@pytest.fixture(name="kit")
def in_memory(chat: Inbox) -> Iterator[InboxKit]:
    """A kit for that inbox."""
    with InboxKit(chat) as kit:
        yield kit


# The clock.


def test_a_burst_is_one_batch_after_the_lull(chat: Inbox, kit: InboxKit) -> None:
    """Debounce is honoured to the millisecond."""
    chat.send("ada", "hi")
    kit.clock.advance(0.6)
    chat.send("ada", "are you there?")
    kit.clock.advance(0.999)
    kit.assert_waiting("ada", ["hi", "are you there?"])
    kit.assert_batches("ada", [])
    kit.clock.advance(0.001)
    kit.assert_waiting("ada", [])
    kit.assert_batches("ada", [["hi", "are you there?"]])
    [attempt] = kit.batches("ada")
    assert (attempt.attempt, attempt.outcome, attempt.at) == (1, "handled", kit.clock.started_at + 1_600)


def test_each_batch_is_handled_at_its_own_time(chat: Inbox, kit: InboxKit) -> None:
    """One long advance is as many short ones."""
    chat.send("ada", "one")
    chat.send("bob", "two", active=False)
    kit.clock.advance(3600)
    started = {name: kit.batches(name)[0].at - kit.clock.started_at for name in ("ada", "bob")}
    assert started == {"ada": 1_000, "bob": 10_000}
    assert kit.clock.now - kit.clock.started_at == 3_600_000


def test_commands_run_when_the_test_says_so(chat: Inbox, kit: InboxKit) -> None:
    """A command is due at once; it is handled by the next advance, even of nothing, in send order."""
    chat.send("ada", "hi")
    for text in (",one", ",two", ",three"):
        chat.send("ada", text)
    kit.assert_commands("ada", [])
    kit.run_due()
    kit.assert_commands("ada", [",one", ",two", ",three"])
    kit.assert_batches("ada", [])


def test_the_backoff_is_its_longest() -> None:
    """So that a test can name the moment of a retry."""
    inbox = an_inbox(debounce=0.0)

    @inbox.handler(backoff=2.0, max_attempts=3)
    def fail(batch: Batch) -> None:
        raise ValueError("no")

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.clock.advance(100)
        at = [(attempt.at - kit.clock.started_at, attempt.outcome) for attempt in kit.batches("ada")]
        assert at == [(0, "retry"), (2_000, "retry"), (6_000, "dead")]
        kit.assert_dead("ada", [["hi"]])
        kit.assert_batches("ada", [])
        assert kit.batches("ada")[-1].error == "ValueError: no"


@pytest.mark.parametrize("seconds", [-1, -0.001, True, "1", None, float("nan"), float("inf")])
def test_the_clock_takes_seconds_from_0(kit: InboxKit, seconds: Any) -> None:
    """Nothing is changed otherwise."""
    before = kit.clock.now
    with pytest.raises(ValueError, match=re.escape(f"advance({seconds!r})")):
        kit.clock.advance(seconds)
    assert kit.clock.now == before


def test_the_clock_stands_still_outside(chat: Inbox) -> None:
    """Before the with statement, and behind it."""
    kit = InboxKit(chat)
    with pytest.raises(RuntimeError, match="with InboxKit"):
        kit.clock.advance(1)
    with kit:
        kit.clock.advance(1)
    with pytest.raises(RuntimeError, match="with InboxKit"):
        kit.run_due()


def test_a_handler_that_keeps_itself_busy_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test does not hang."""
    monkeypatch.setattr(clock, "MOST_AT_ONCE", 100)
    inbox = an_inbox(debounce=0.0)

    @inbox.handler
    def echo(batch: Batch) -> None:
        inbox.send(batch.session, "again")

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        with pytest.raises(RuntimeError, match="batches in no time"):
            kit.clock.advance(1)


def test_a_pause_ends_by_itself(chat: Inbox, kit: InboxKit) -> None:
    """What waited meanwhile is handled then."""
    chat.pause("ada", for_=30)
    chat.send("ada", "hi")
    kit.clock.advance(29)
    kit.assert_waiting("ada", ["hi"])
    kit.clock.advance(1)
    kit.assert_batches("ada", [["hi"]])


# Handlers behave as in a worker.


def test_celerys_words_mean_what_they_mean() -> None:
    """Retry, Reject, Ignore; a failed batch keeps newer messages waiting."""
    inbox = an_inbox(debounce=0.0)

    @inbox.handler(bind=True)
    def handle(task: Any, batch: Batch) -> None:
        if batch[0].body == "retry" and batch.attempt == 1:
            task.retry(countdown=30)
        if batch[0].body == "reject":
            raise Reject
        if batch[0].body == "ignore":
            raise Ignore

    with InboxKit(inbox) as kit:
        for name in ("retry", "reject", "ignore"):
            inbox.send(name, name)
        kit.run_due()
        inbox.send("retry", "later")
        kit.clock.advance(29.999)
        kit.assert_waiting("retry", ["later"])
        kit.clock.advance(0.001)
        kit.assert_batches("retry", [["retry"], ["later"]])
        kit.assert_dead("reject", [["reject"]])
        kit.assert_batches("ignore", [["ignore"]])


def test_a_slow_handler_is_one_that_advances_the_clock() -> None:
    """Meanwhile commands are handled, messages collect, and can be taken."""
    inbox = an_inbox()
    seen: list[object] = []

    @inbox.handler
    def think(batch: Batch) -> None:
        if batch.attempt == 1 and batch[0].body == "hi":
            inbox.send("ada", "wait")
            inbox.send_command("ada", "status")
            kit.clock.advance(120.0)
            seen.append([message.body for message in batch.take_new()])
            seen.append(batch.lost)
            inbox.send("ada", "later")

    @inbox.command_handler
    def obey(command: Command) -> None:
        seen.append(command.body)

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.clock.advance(1.0)
        assert seen == ["status", ["wait"], False]
        kit.assert_waiting("ada", ["later"])
        kit.clock.advance(1.0)
        kit.assert_batches("ada", [["hi", "wait"], ["later"]])


def test_a_command_cancels_a_running_batch() -> None:
    """The handler sees it at once."""
    inbox = an_inbox(is_command=",")

    @inbox.handler(on_cancel="rejoin")
    def think(batch: Batch) -> None:
        if len(batch) == 1:
            inbox.send("ada", ",stop")
            kit.clock.advance(0.5)
            assert batch.cancelled
            raise InterruptedError

    @inbox.command_handler
    def obey(command: Command) -> None:
        inbox.cancel(command.session)

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.clock.advance(1.0)
        assert [attempt.outcome for attempt in kit.batches("ada")] == ["cancelled"]
        inbox.send("ada", "better")
        kit.clock.advance(1.0)
        kit.assert_batches("ada", [["hi", "better"]])


def test_an_async_handler_runs() -> None:
    """It sends, it is cancelled at its await, and lets time pass in a thread."""
    inbox = an_inbox(is_command=",")
    refused: list[str] = []

    @inbox.handler
    async def think(batch: Batch) -> None:
        if batch[0].body == "hi":
            await inbox.asend("ada", "to myself")
            with pytest.raises(RuntimeError, match=r"asyncio\.to_thread") as error:
                kit.clock.advance(1.0)
            refused.append(str(error.value))
            await asyncio.to_thread(kit.clock.advance, 1.0)
        elif batch[0].body == "to myself":
            inbox.cancel("ada")
            await asyncio.sleep(60)

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.clock.advance(2.0)
        assert [attempt.outcome for attempt in kit.batches("ada")] == ["handled", "cancelled"]
    assert len(refused) == 1


def test_a_crash_is_tried_again_after_the_lease() -> None:
    """As a killed worker's batch."""
    inbox = an_inbox(lease=5.0)

    @inbox.handler
    def handle(batch: Batch) -> None:
        if batch.attempt == 1:
            crash()

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.clock.advance(5.999)
        assert [attempt.outcome for attempt in kit.batches("ada")] == ["running"]
        kit.clock.advance(0.001)
        assert [attempt.outcome for attempt in kit.batches("ada")] == ["crashed", "handled"]
        assert len({attempt.id for attempt in kit.batches("ada")}) == 1


def test_a_lease_ends_when_the_test_says_so() -> None:
    """The handler learns that it is lost, its ack changes nothing, and the batch comes again."""
    inbox = an_inbox()
    lost: list[bool] = []

    @inbox.handler
    def handle(batch: Batch) -> None:
        if batch.attempt == 1:
            kit.expire_lease("ada")
        lost.append(batch.lost)

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.clock.advance(1.0)
        assert lost == [True, False]
        assert [attempt.outcome for attempt in kit.batches("ada")] == ["lost", "handled"]
        with pytest.raises(ValueError, match="no batch of 'ada' runs"):
            kit.expire_lease("ada")


def test_a_worker_process_that_ends_is_replaced() -> None:
    """SystemExit is a failed attempt, not the end of the test."""
    inbox = an_inbox()

    @inbox.handler(backoff=0.0)
    def handle(batch: Batch) -> None:
        if batch.attempt == 1:
            raise SystemExit(3)

    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.clock.advance(1.0)
        assert [attempt.outcome for attempt in kit.batches("ada")] == ["retry", "handled"]


def test_a_missing_handler_is_named() -> None:
    """When its first batch is due, not before."""
    inbox = an_inbox()
    with InboxKit(inbox) as kit:
        inbox.send("ada", "hi")
        kit.assert_waiting("ada", ["hi"])
        with pytest.raises(ConfigurationError, match=r"has no handler: decorate a function with @inbox\.handler"):
            kit.clock.advance(1.0)


def test_callables_of_the_settings_are_asked() -> None:
    """Debounce by session, commands, keys and flushes by body."""
    inbox = an_inbox(
        debounce=lambda session: 5.0 if session == "slow" else 1.0,
        is_command=lambda body: body["text"] == "stop",
        flush_when=lambda body: body["text"].endswith("."),
        batch_key=lambda body: body.get("topic"),
    )
    inbox.handler(name="reply")(nothing)
    inbox.command_handler(name="obey")(nothing)
    with InboxKit(inbox) as kit:
        for session in ("slow", "quick"):
            inbox.send(session, {"text": "hi"})
        inbox.send("quick", {"text": "stop"})
        inbox.send("done", {"text": "that is all."})
        inbox.send("topics", {"text": "one", "topic": 1})
        inbox.send("topics", {"text": "two", "topic": 2})
        kit.run_due()
        kit.assert_commands("quick", ["stop"])
        kit.assert_batches("done", [["that is all."]])
        kit.assert_batches("topics", [["one"]])
        kit.clock.advance(1.0)
        kit.assert_batches("quick", [["hi"]])
        kit.assert_waiting("slow", ["hi"])
        kit.clock.advance(4.0)
        kit.assert_nothing_waiting()


# Taking over and giving back.


def fail_inside(chat: Inbox) -> None:
    """A test of its own that fails."""
    with InboxKit(chat) as inner:
        chat.send("ada", "inner")
        inner.assert_waiting("ada", ["inner"])
        inner.assert_waiting("ada", ["outer"])


def test_inboxes_are_given_back_as_they_were(chat: Inbox) -> None:
    """Also when the test fails, and inside another kit."""
    chat.app.conf.task_always_eager = True
    with InboxKit() as outer:
        chat.send("ada", "outer")
        with pytest.raises(AssertionError):
            fail_inside(chat)
        outer.assert_waiting("ada", ["outer"])
    assert chat.kit is None
    assert Inbox.kit is None
    assert "kit" not in vars(chat)
    chat.send("ada", "eager again")
    assert chat.peek("ada") is None


def test_a_kit_for_all_takes_inboxes_that_come_later() -> None:
    """A test may import its bot inside."""
    with InboxKit() as kit:
        inbox = an_inbox()
        inbox.handler(name="reply")(nothing)
        inbox.send("ada", "hi")
        kit.clock.advance(1.0)
        kit.assert_batches("ada", [["hi"]])


def test_each_kit_begins_empty(chat: Inbox) -> None:
    """Ids of an earlier test are no duplicates."""
    for _ in range(2):
        with InboxKit(chat) as kit:
            assert chat.send("ada", "hi", id="1").status == "accepted"
            assert chat.send("ada", "hi", id="1").status == "duplicate"
            kit.clock.advance(1.0)
            kit.assert_batches("ada", [["hi"]])


def test_a_kit_takes_inboxes_only(chat: Inbox) -> None:
    """Not their app, nor their name."""
    wrong: Any
    for wrong in (chat.app, "chat"):
        with pytest.raises(TypeError, match="give it inboxes"):
            InboxKit(wrong)


def test_a_session_of_two_inboxes_needs_the_inbox() -> None:
    """By value or by name; a name that nobody used is an error."""
    app = Celery("kit", set_as_current=False)
    first, second = an_inbox("first", app), an_inbox("second", app)
    with InboxKit(first, second) as kit:
        first.send("ada", "one")
        second.send("ada", "two")
        second.send("bob", "three")
        with pytest.raises(ValueError, match="inboxes first, second: say which, as in inbox='first'"):
            kit.assert_waiting("ada", ["one"])
        kit.assert_waiting("ada", ["one"], inbox=first)
        kit.assert_waiting("ada", ["two"], inbox="second")
        kit.assert_waiting("bob", ["three"])
        with pytest.raises(ValueError, match="used: first, second"):
            kit.assert_waiting("ada", ["one"], inbox="third")


# Assertions.


def text_of(error: pytest.ExceptionInfo[AssertionError]) -> str:
    """What a failed assertion prints."""
    return str(error.value)


def test_a_failed_assertion_prints_what_was_found() -> None:
    """Every session: what was handled, refused, failed, is open, waits, is stopped or dead, and until when."""
    inbox = an_inbox(is_command=",", active_window=60.0)

    @inbox.handler(max_attempts=2)
    def reply(batch: Batch) -> None:
        if batch[0].body in ("fail", "die"):
            raise ValueError("no")

    inbox.command_handler(name="obey")(nothing)
    with InboxKit(inbox) as kit:
        for session, text in [("ada", "hi"), ("bob", "fail"), ("eve", "die")]:
            inbox.send(session, text)
        inbox.send("eve", ",help")
        inbox.send("kim", "not for you", active=False)
        inbox.pause("zoe", for_=60)
        inbox.send("zoe", "hello")
        kit.clock.advance(1.0)
        inbox.flush("eve")
        kit.run_due()
        inbox.send("ada", {"text": "there?"})
        inbox.send("bob", "next")
        kit.clock.advance(0.5)
        with pytest.raises(AssertionError) as error:
            kit.assert_batches("ada", [["hi", "there?"]])
    assert text_of(error) == "\n".join(
        [
            "batches of 'ada' that were handled",
            "expected [['hi', 'there?']]",
            "found    [['hi']]",
            "",
            "inbox chat at +1.5 s",
            "  session 'ada'",
            "    batch handled at +1 s: ['hi']",
            "    waiting, due in 0.5 s: [{'text': 'there?'}]",
            "  session 'bob'",
            "    batch failed, attempt 1 at +1 s: ['fail']; ValueError: no",
            "    open batch after attempt 1, due in 0.5 s: ['fail']",
            "    waiting, behind the open batch: ['next']",
            "  session 'eve'",
            "    command handled at +0 s: [',help']",
            "    batch failed, attempt 1 at +1 s: ['die']; ValueError: no",
            "    batch dead, attempt 2 at +1 s: ['die']; ValueError: no",
            "    dead letter: ['die']",
            "  session 'kim'",
            "    ignored, not stored at +0 s: ['not for you']",
            "  session 'zoe'",
            "    waiting, stopped for 58.5 s: ['hello']",
        ]
    )


def test_a_wrong_session_is_named(chat: Inbox, kit: InboxKit) -> None:
    """With the nearest one; one that is no text is an error of its own."""
    with pytest.raises(AssertionError, match="nothing was sent to an inbox of this kit"):
        kit.assert_batches("alice", [["hi"]])
    chat.send("alice", "hi")
    with pytest.raises(AssertionError, match="nothing was sent to 'alcie'; did you mean 'alice'"):
        kit.assert_waiting("alcie", ["hi"])
    with pytest.raises(InvalidSession, match="text, not int"):
        kit.assert_waiting(42, ["hi"])  # type: ignore[arg-type]


def test_what_is_due_but_was_not_run_is_said(chat: Inbox, kit: InboxKit) -> None:
    """The hint of those who forgot to advance the clock."""
    chat.send("ada", ",help")
    with pytest.raises(AssertionError, match=r"waiting command, due now, when the clock is advanced: \[',help'\]"):
        kit.assert_commands("ada", [",help"])


@pytest.mark.parametrize("call", ["assert_waiting", "assert_commands"])
@pytest.mark.parametrize("bodies", ["hi", {"text": "hi"}, 1])
def test_a_list_of_bodies_is_a_list(kit: InboxKit, call: str, bodies: Any) -> None:
    """A text is not taken for its letters."""
    with pytest.raises(TypeError, match="say a list of bodies"):
        getattr(kit, call)("ada", bodies)


@pytest.mark.parametrize("call", ["assert_batches", "assert_dead"])
@pytest.mark.parametrize("batches", ["hi", ["hi"], [{"text": "hi"}], [["hi"], "there"], {}])
def test_a_list_of_batches_is_a_list_of_lists(kit: InboxKit, call: str, batches: Any) -> None:
    """The likeliest slip of all."""
    with pytest.raises(TypeError, match=r"\[\['hi', 'are you there\?'\]\]"):
        getattr(kit, call)("ada", batches)


def test_bodies_are_compared_whole_by_text_or_by_key(chat: Inbox, kit: InboxKit) -> None:
    """A text stands for the ``text`` of a body, as it does for ``is_command``."""
    body = {"text": "hi", "update_id": 7}
    chat.send("ada", body)
    kit.assert_waiting("ada", [body])
    kit.assert_waiting("ada", ["hi"])
    kit.assert_waiting("ada", [7], key="update_id")
    kit.assert_waiting("ada", ["HI"], key=lambda body: body["text"].upper())
    for wrong in (["ho"], [], ["hi", "hi"], [{"text": "hi"}]):
        with pytest.raises(AssertionError, match="messages of 'ada' that wait"):
            kit.assert_waiting("ada", wrong)
    with pytest.raises(AssertionError):
        kit.assert_waiting("ada", [8], key="update_id")


def test_each_assertion_fires(chat: Inbox, kit: InboxKit) -> None:
    """And does not when it should not."""
    kit.assert_nothing_waiting()
    chat.send("ada", "hi")
    chat.send("ada", ",help")
    for name in (None, "ada"):
        with pytest.raises(AssertionError, match="found    messages of 'ada'"):
            kit.assert_nothing_waiting(name)
    with pytest.raises(AssertionError, match="found    messages of 'ada'"):
        kit.assert_nothing_waiting(inbox=chat)
    kit.assert_nothing_waiting("bob")
    kit.clock.advance(1.0)
    kit.assert_nothing_waiting()
    kit.assert_batches("ada", [["hi"]])
    kit.assert_commands("ada", [",help"])
    kit.assert_dead("ada", [])
    with pytest.raises(AssertionError, match="batches of 'ada' that were handled"):
        kit.assert_batches("ada", [])
    with pytest.raises(AssertionError, match="commands of 'ada' that were handled"):
        kit.assert_commands("ada", [])
    with pytest.raises(AssertionError, match="dead letters of 'ada'"):
        kit.assert_dead("ada", [["hi"]])


def test_long_outputs_are_cut(chat: Inbox, kit: InboxKit) -> None:
    """A thousand sessions and a megabyte do not fill the screen; the session in question comes first."""
    for number in range(100):
        chat.send(f"user {number}", "x" * 10_000)
    with pytest.raises(AssertionError) as error:
        kit.assert_batches("user 99", [["x"]])
    text = text_of(error)
    assert len(text) < 20_000
    assert text.index("session 'user 99'") < text.index("session 'user 0'")
    assert "... 80 more sessions" in text
    assert "... (10002 characters)" in text


# By hand.


def test_a_batch_by_hand_is_a_batch() -> None:
    """For a handler that a test calls itself."""
    inbox = an_inbox()

    @inbox.handler
    def reply(batch: Batch) -> str:
        return f"{batch.session} {batch.attempt} {[message.body for message in batch]}"

    assert reply(batch("ada", "hi", {"text": "there?"}, attempt=2)) == "ada 2 ['hi', {'text': 'there?'}]"
    made = batch("ada", "hi", "there?", id="b1")
    assert [(message.id, message.at) for message in made] == [("1", 1), ("2", 2)]
    assert (made.id, made.attempt, made.lost, made.take_new()) == ("b1", 1, False, ())
    assert (command("ada", ",help").body, command("ada", ",help", attempt=3).attempt) == (",help", 3)


def test_the_clock_says_where_it_stands() -> None:
    """In seconds since it began."""
    with InboxKit() as kit:
        assert isinstance(kit.clock, Clock)
        kit.clock.advance(1.5)
        assert repr(kit.clock) == "<Clock +1.5 s>"
