"""The history: what it keeps, who may write to it, what a killed writer leaves."""

import asyncio
import os
from pathlib import Path

import pytest
from celery.exceptions import Ignore

from celery_inbox.message import Batch, Command, Message, Receipt
from celery_inbox.testing import Ended, History, Run, Sent, Started, runs

BATCH = Batch("ada", [Message("1", "hi", at=1000), Message("2", "there", at=1200, active=False)], id="b", fence=7)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Keep a history in a new file."""
    return History(tmp_path / "history.jsonl")


def only_run(history: History) -> Run:
    """Read the one run of a history."""
    (run,) = runs(history.read().events)
    return run


def test_a_send_is_recorded_with_what_its_receipt_says(history: History) -> None:
    """Session, id, kind and status come back."""
    history.sent("ada", Receipt("1", "accepted", 1, 5))
    history.sent("ada", Receipt("2", "command", 0, None))
    first, second = history.read().events
    assert isinstance(first, Sent)
    assert isinstance(second, Sent)
    assert (first.session, first.id, first.kind, first.status) == ("ada", "1", "batch", "accepted")
    assert (second.id, second.kind) == ("2", "command")


def test_an_ignored_send_is_no_promise(history: History) -> None:
    """What the inbox did not store it need not handle."""
    history.sent("ada", Receipt("1", "ignored", 0, None))
    (sent,) = history.read().events
    assert isinstance(sent, Sent)
    assert not sent.is_stored


def test_a_run_of_a_batch_is_recorded_from_start_to_end(history: History) -> None:
    """Both events name the run, its batch and its messages."""
    with history.run(BATCH):
        (start,) = history.read().events
    run = only_run(history)
    assert run.start == start
    assert (run.session, run.kind, run.ids, run.is_successful) == ("ada", "batch", ("1", "2"), True)
    assert (run.start.batch, run.start.fence, run.start.attempt, run.start.pid) == ("b", 7, 1, os.getpid())
    assert [(message.at, message.active) for message in run.messages] == [(1000, True), (1200, False)]


def test_a_run_of_a_command_has_one_message(history: History) -> None:
    """A command is recorded like a batch of its own kind."""
    with history.run(Command("ada", Message("9", "!stop", at=1000), id="c")):
        pass
    run = only_run(history)
    assert (run.kind, run.start.batch, run.ids) == ("command", "c", ("9",))


def test_a_handler_that_raises_is_recorded_as_an_error(history: History) -> None:
    """The exception goes on, its type is kept, its text is not."""
    with pytest.raises(KeyError), history.run(BATCH):
        raise KeyError("private")
    run = only_run(history)
    assert not run.is_successful
    assert run.end is not None
    assert run.end.error == "KeyError"
    assert b"private" not in history.path.read_bytes()


def test_a_handler_that_raises_ignore_has_handled(history: History) -> None:
    """Celery's Ignore means ack."""
    with pytest.raises(Ignore), history.run(BATCH):
        raise Ignore
    assert only_run(history).is_successful


def test_an_async_handler_is_recorded_when_it_is_cancelled(history: History) -> None:
    """The end is written although the handler never comes back."""

    async def handler() -> None:
        with history.run(BATCH):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(handler(), 0.01))
    run = only_run(history)
    assert run.end is not None
    assert run.end.error == "CancelledError"


def test_messages_that_join_a_run_count_in_its_end(history: History) -> None:
    """What take_new brings is in no start, but it was handled."""
    batch = Batch("ada", [Message("1", "hi", at=1000)])
    with history.run(batch):
        batch._messages += (Message("2", "there", at=1200),)
    assert only_run(history).ids == ("1", "2")


def test_forked_writers_share_one_file(history: History) -> None:
    """Lines of several processes never mix."""
    forks = []
    for number in range(4):
        fork = os.fork()
        if not fork:
            for turn in range(50):
                history.sent("s" * 200, Receipt(f"{number}-{turn}", "accepted", 1, None))
            os._exit(0)
        forks.append(fork)
    for fork in forks:
        os.waitpid(fork, 0)
    record = history.read()
    assert record.torn == 0
    assert len({event.id for event in record.events if isinstance(event, Sent)}) == 200


def test_a_half_line_is_counted_and_the_next_line_is_kept(history: History) -> None:
    """A process killed in its write costs its own line only."""
    history.sent("ada", Receipt("1", "accepted", 1, None))
    whole = history.path.read_bytes()
    history.path.write_bytes(whole + whole[:30])
    history.sent("ada", Receipt("2", "accepted", 1, None))
    record = history.read()
    assert record.torn == 1
    assert [event.id for event in record.events if isinstance(event, Sent)] == ["1", "2"]


def test_a_half_line_at_the_end_is_counted(history: History) -> None:
    """The last write may be the torn one."""
    history.sent("ada", Receipt("1", "accepted", 1, None))
    whole = history.path.read_bytes()
    history.path.write_bytes(whole + whole[:-1])
    record = history.read()
    assert record.torn == 1
    assert len(record.events) == 1
    assert record.end == len(whole)


def test_a_run_whose_start_is_torn_is_known_by_its_end(history: History) -> None:
    """The end repeats what the start says."""
    with history.run(BATCH):
        history.path.write_bytes(history.path.read_bytes()[:-20])
    run = only_run(history)
    assert isinstance(run.start, Ended)
    assert run.is_successful


def test_a_run_without_an_end_is_open(history: History) -> None:
    """A killed worker writes no end."""
    with history.run(BATCH):
        start = history.path.read_bytes()
    history.path.write_bytes(start)
    run = only_run(history)
    assert run.end is None
    assert not run.is_successful


def test_reading_goes_on_where_it_ended(history: History) -> None:
    """Somebody who watches reads each event once."""
    with history.run(BATCH):
        first = history.read()
        assert [type(event) for event in first.events] == [Started]
    second = history.read(first.end)
    assert [type(event) for event in second.events] == [Ended]
    assert history.read(second.end).events == ()


def test_no_file_is_an_empty_history(history: History) -> None:
    """Nobody has written yet."""
    assert history.read().events == ()


def test_the_null_device_records_nothing() -> None:
    """Handlers may be wrapped in production, too."""
    history = History(os.devnull)
    with history.run(BATCH):
        pass
    assert history.read().events == ()
