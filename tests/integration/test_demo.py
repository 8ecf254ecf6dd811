"""The demo: what it reports, what it refuses, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from celery_inbox import Receipt
from celery_inbox.testing import History, Sent, Started
from celery_inbox.testing.events import Arrival
from demo.irc import read_log
from demo.story import lull_at
from waiting import wait_until

ROOT = Path(__file__).parents[2]
MARK = "CELERY_INBOX_DEMO_TEST"
END_TIMEOUT = 120.0  # seconds; a machine under load starts three workers slowly

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")


class Demo:
    """One run of the demo, whose processes carry a mark in their environment."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.mark = f"{MARK}={uuid4().hex}"
        self.process: subprocess.Popen[str] | None = None
        self.history = History(out / "history.jsonl")

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start it with its output in a pipe, as in a CI."""
        environment = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "INBOX_HISTORY")}
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo", "--out", str(self.out), *options],
            cwd=ROOT,
            env={**environment, name: value, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self.process

    def run(self, *options: str) -> tuple[int, str]:
        """Run it to its end; return its exit status and what it printed."""
        output, _ = self.start(*options).communicate(timeout=END_TIMEOUT)
        assert self.process is not None
        return self.process.returncode, output

    def report(self) -> dict[str, object]:
        """Read the report it saved."""
        report: dict[str, object] = json.loads((self.out / "report.json").read_text())
        return report

    def pids(self) -> set[int]:
        """Find what it started and what still runs, itself included."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in path.read_bytes().split(b"\0"):
                    found.add(int(path.parent.name))
            except OSError:  # it ended meanwhile, or is another user's
                continue
        return found

    def is_gone(self) -> bool:
        """Whether no process is left."""
        return not self.pids()

    def runs_handlers(self) -> bool:
        """Whether a handler has begun."""
        return any(isinstance(event, Started) for event in self.history.read().events)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Run a demo whose files go to a directory of the test, and leave no process of it."""
    demo = Demo(tmp_path / "out")
    yield demo
    for pid in demo.pids():
        os.kill(pid, signal.SIGKILL)
    if demo.process is not None:
        demo.process.communicate()


def test_a_short_replay_ends_with_six_empty_checks(demo: Demo) -> None:
    """The sample log, three seconds of it, through real workers: exit 0, figures, nothing left."""
    status, output = demo.run("--speed", "300", "--seconds", "3")
    assert status == 0, output
    report = demo.report()
    assert report["checks"] == {name: [] for name in ("LOST", "DUP", "REORDER", "OVERLAP", "STUCK", "UNEXPECTED")}
    assert report["complete"]
    assert report["messages"]
    assert report["commands"]
    sends = [event for event in demo.history.read().events if isinstance(event, Sent)]
    assert report["messages"] == sum(send.kind == "batch" for send in sends)
    assert report["commands"] == sum(send.kind == "command" for send in sends)
    for words in ("messages in", "mean batch size", "command latency", "batch lateness", "LOST", "UNEXPECTED"):
        assert words in output
    assert demo.is_gone()


def test_a_promise_that_was_not_kept_fails_the_demo(demo: Demo) -> None:
    """A message that was accepted, says the record, and went nowhere: exit 1, and the report names it."""
    process = demo.start("--speed", "300", "--seconds", "3", "--settle", "1")
    wait_until(demo.runs_handlers, description="the first handler", timeout=END_TIMEOUT)
    demo.history.sent("ghost", Receipt("boo", "accepted", 1, None))
    output, _ = process.communicate(timeout=END_TIMEOUT)
    assert process.returncode == 1, output
    assert "message boo of 'ghost' was accepted" in output
    checks = demo.report()["checks"]
    assert isinstance(checks, dict)
    assert [name for name, found in checks.items() if found] == ["LOST"]


def test_a_log_with_bad_lines_is_played_and_they_are_counted(demo: Demo, tmp_path: Path) -> None:
    """Anything of that shape will do; what is not of it is left out."""
    log = tmp_path / "log.txt"
    log.write_bytes(
        b"[23:59] <ada> hi\n"
        b"nonsense\n"
        b"[25:00] <ada> no such hour\n"
        b"=== bob [~bob@host] has joined #ada\n"
        b"\n"
        b"[23:59]  * bob waves\xff\n"
        b"[00:00] <ada> !help\r\n"
        b"[00:00] <ada> \n"
    )
    status, output = demo.run("--file", str(log), "--speed", "120", "--seconds", "0")
    assert status == 0, output
    report = demo.report()
    assert (report["messages"], report["commands"], report["bad_lines"]) == (3, 1, 2)
    assert "23:59 to 00:00" in output


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda ending: ending.name)
def test_a_demo_that_is_ended_in_the_middle_leaves_no_process(demo: Demo, ending: signal.Signals) -> None:
    """Ctrl-C, a kill or a closed terminal: workers and server end with it."""
    process = demo.start("--speed", "60", "--seconds", "120")
    wait_until(demo.runs_handlers, description="the first handler", timeout=END_TIMEOUT)
    assert len(demo.pids()) > 5  # demo, runner, server and its keeper, three workers with their children
    process.send_signal(ending)
    assert process.wait(END_TIMEOUT) == 128 + ending
    assert demo.is_gone()


def test_a_demo_that_is_killed_leaves_no_process(demo: Demo) -> None:
    """SIGKILL gives no chance to tidy up; the runner and the keeper see their caller gone."""
    process = demo.start("--speed", "60", "--seconds", "120")
    wait_until(demo.runs_handlers, description="the first handler", timeout=END_TIMEOUT)
    process.kill()
    wait_until(demo.is_gone, description="the end of every process", timeout=END_TIMEOUT)


def test_ctrl_c_while_the_workers_start_leaves_no_process(demo: Demo) -> None:
    """Impatience is no reason for orphans."""
    process = demo.start()
    wait_until(lambda: len(demo.pids()) > 3, description="the first processes", timeout=END_TIMEOUT)
    process.send_signal(signal.SIGINT)
    assert process.wait(END_TIMEOUT) == 128 + signal.SIGINT
    wait_until(demo.is_gone, description="the end of every process", timeout=END_TIMEOUT)


def test_a_worker_that_dies_ends_the_demo(demo: Demo) -> None:
    """The demo says which process has ended and fails."""
    process = demo.start("--speed", "60", "--seconds", "120")
    wait_until(demo.runs_handlers, description="the first handler", timeout=END_TIMEOUT)
    os.kill(main_process(demo, "worker_a@"), signal.SIGKILL)
    output, _ = process.communicate(timeout=END_TIMEOUT)
    assert process.returncode == 1
    assert "worker_a ended by itself" in output
    assert demo.is_gone()


def test_a_killed_runner_ends_the_demo(demo: Demo) -> None:
    """With nobody left to end the workers, the demo does it."""
    process = demo.start("--speed", "60", "--seconds", "120")
    wait_until(demo.runs_handlers, description="the first handler", timeout=END_TIMEOUT)
    os.kill(main_process(demo, "demo.runner"), signal.SIGKILL)
    output, _ = process.communicate(timeout=END_TIMEOUT)
    assert process.returncode == 1
    assert "the runner of the processes has ended" in output
    wait_until(demo.is_gone, description="the end of every process", timeout=END_TIMEOUT)


def main_process(demo: Demo, name: str) -> int:
    """Find the oldest process with a word in its command line."""
    return min(pid for pid in demo.pids() if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes())


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda _path: None, "cannot read"),
        (lambda path: path.mkdir(), "cannot read"),
        (lambda path: path.write_text(""), "has no line of the form"),
        (lambda path: path.write_text("Dear diary\n"), "has no line of the form"),
    ],
    ids=["missing", "directory", "empty", "prose"],
)
def test_what_cannot_be_played_is_refused_in_one_line(
    demo: Demo, tmp_path: Path, write: Callable[[Path], object], words: str
) -> None:
    """The line names the file; nothing is started."""
    log = tmp_path / "log.txt"
    write(log)
    status, output = demo.run("--file", str(log))
    assert status == 2
    (line,) = output.splitlines()
    assert words in line
    assert str(log) in line
    assert not demo.out.exists()


class TestLateness:
    """When a batch was due, read from the arrivals of its messages; debounce 500 ms, max_wait 3000 ms."""

    @pytest.mark.parametrize(
        ("arrivals", "due"),
        [
            ([1000], 1500),
            ([1000, 1400, 1800], 2300),
            ([1000, 1500], 1500),  # the second came when the first was due: it is in the batch and moves nothing
            ([1000, 1400, 1800, 2200, 2600, 3000, 3400, 3800], 4000),
            ([1000, 1400, 1800, 2200, 2600, 3000, 3400, 3800, 4010, 4020], 4000),
        ],
        ids=["one", "lull", "late joiner", "steady sender", "steady sender, busy worker"],
    )
    def test_a_batch_is_due_after_a_lull_or_max_wait(self, arrivals: list[int], due: int) -> None:
        """The due function of the contract."""
        assert lull_at([Arrival(str(at), at, True) for at in arrivals], 500, 3000) == due

    def test_passive_messages_do_not_push_back(self) -> None:
        """Alone they wait for max_wait; behind an active one they do not count."""
        assert lull_at([Arrival("1", 1000, False)], 500, 3000) == 4000
        assert lull_at([Arrival("1", 1000, True), Arrival("2", 1400, False)], 500, 3000) == 1500


class TestLog:
    """How a log is read."""

    def test_the_lines_of_a_minute_share_it(self, tmp_path: Path) -> None:
        """Two lines of one minute are half a minute apart; an empty minute takes its time."""
        log = tmp_path / "log.txt"
        log.write_text("[10:00] <ada> a\n[10:00] <bob> b\n[10:02] <ada> c\n")
        assert [line.second for line in read_log(log).lines] == [0, 30, 120]

    def test_time_goes_on_over_midnight_and_never_back(self, tmp_path: Path) -> None:
        """A line that was logged late belongs to the minute before it."""
        log = tmp_path / "log.txt"
        log.write_text("[23:59] <ada> a\n[00:01] <ada> b\n[00:00] <ada> late\n[00:02] <ada> c\n")
        assert [line.second for line in read_log(log).lines] == [0, 120, 150, 180]

    def test_the_sample_is_read_whole(self) -> None:
        """Every line of the log that somebody wrote is played."""
        log = read_log(ROOT / "demo/data/ubuntu-irc-2008-04-27.txt")
        assert (len(log.lines), log.bad) == (1958, 0)
        assert sum(line.text.startswith("!") for line in log.lines) == 22
