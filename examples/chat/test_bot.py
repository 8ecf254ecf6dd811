"""The bot's own tests: no Redis, no broker, no worker, no waiting."""

import pytest

from celery_inbox.testing import InboxKit, batch
from examples.chat.bot import inbox, reply


def test_a_burst_is_answered_once(inbox_kit: InboxKit) -> None:
    """Three lines, one answer, half a second after the last."""
    for text in ("hi", "are you", "there?"):
        inbox.send("ada", text)
    inbox_kit.clock.advance(0.5)
    inbox_kit.assert_batches("ada", [["hi", "are you", "there?"]])


def test_who_goes_on_writing_is_answered_after_three_seconds(inbox_kit: InboxKit) -> None:
    """A line every 0.4 s: the lull never comes."""
    for number in range(10):
        inbox.send("ada", f"line {number}")
        inbox_kit.clock.advance(0.4)
    inbox_kit.assert_batches("ada", [[f"line {number}" for number in range(8)]])
    inbox_kit.assert_waiting("ada", ["line 8", "line 9"])


def test_commands_do_not_wait(inbox_kit: InboxKit) -> None:
    """The command is obeyed at once, the line before it waits for its lull."""
    inbox.send("ada", "hi")
    inbox.send("ada", "!help")
    inbox_kit.run_due()
    inbox_kit.assert_commands("ada", ["!help"])
    inbox_kit.assert_waiting("ada", ["hi"])


def test_the_answer_names_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The handler is a function."""
    reply(batch("ada", "hi", "there?"))
    assert capsys.readouterr().out == "ada, to your 2 lines: hi there?\n"
