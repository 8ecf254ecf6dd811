"""The kit as a stranger meets it: fixtures that pytest finds by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BOT = """
from celery import Celery
from celery_inbox import Inbox

chat = Inbox(Celery("bot"), "chat")


@chat.handler
def reply(batch):
    pass


def test_a_burst_is_answered_once(inbox_kit, inbox_clock):
    chat.send("alice", {"text": "hi"})
    chat.send("alice", {"text": "are you there?"})
    inbox_clock.advance(1.0)
    inbox_kit.assert_batches("alice", [["hi", "are you there?"]])


def test_the_next_test_begins_empty(inbox_kit):
    inbox_kit.assert_batches("alice", [])
    chat.send("alice", "hi")
    inbox_kit.assert_batches("alice", [["hi"]])
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_a_test_of_five_lines_needs_nothing_else(tmp_path: Path) -> None:
    """No configuration, no server; the failing one points at its own line and prints what was found."""
    file = tmp_path / "test_bot.py"
    file.write_text(BOT)
    ended = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", "--rootdir", str(tmp_path), str(file)
    )
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    last = BOT.count("\n")
    assert f"test_bot.py:{last}: AssertionError" in ended.stdout
    assert "expected [['hi']]" in ended.stdout
    assert "waiting, due in 1 s: ['hi']" in ended.stdout
    assert "testing/kit.py" not in ended.stdout


def test_loading_the_plugin_imports_nothing() -> None:
    """Every pytest run of its users loads it."""
    code = "import sys, pytest_celery_inbox as p; print({'celery', 'celery_inbox', 'redis'} & {*sys.modules})"
    assert python("-c", code).stdout == "set()\n"
