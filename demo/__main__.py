"""Play a chat log into real workers, watch it, judge it: ``python -m demo``."""

import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console

from celery_inbox import Inbox, InboxError, embedded
from celery_inbox.testing import History, Run, check, runs
from demo.irc import Log, read_log
from demo.live import FRAME_INTERVAL, Display, display_for
from demo.processes import ROOT, ProcessError, Processes
from demo.replay import Replay
from demo.report import Outcome
from demo.story import Story

LOG = Path(__file__).parent / "data" / "ubuntu-irc-2008-04-27.txt"
OUT = ROOT / "out" / "demo"
START_TIMEOUT = 60.0  # seconds until the workers must be ready


class Unplayable(click.ClickException):
    """There is nothing to play; nothing was started."""

    exit_code = 2


@click.command()
@click.option("--file", type=click.Path(path_type=Path), default=LOG, help="A log of lines '[hh:mm] <nick> text'.")
@click.option(
    "--speed", type=click.FloatRange(0, min_open=True), default=60, show_default=True, help="Seconds played in one."
)
@click.option(
    "--seconds", type=click.FloatRange(0), default=120, show_default=True, help="End of the replay; 0: of the log."
)
@click.option(
    "--settle", type=click.FloatRange(0), default=30, show_default=True, help="Seconds for the last batches to end."
)
@click.option("--out", type=click.Path(path_type=Path), default=OUT, help="Directory for logs, record and report.")
def main(file: Path, speed: float, seconds: float, settle: float, out: Path) -> None:
    """Replay a chat log through real Celery workers and report what became of it.

    The exit status is 0 if every message was handled once, in order, one batch of a person at a time.
    """
    log = load(file)
    lines = log.until(seconds * speed if seconds else float("inf"))
    out.mkdir(parents=True, exist_ok=True)
    history = History((out / "history.jsonl").resolve())
    history.path.unlink(missing_ok=True)
    end_in_order()
    console = Console(highlight=False)
    console.print(
        f"[bold]celery-inbox demo[/]  {len(lines):,} lines by {len({line.nick for line in lines}):,} people, "
        f"{lines[0].clock} to {lines[-1].clock}, at speed {speed:g}"
    )
    try:
        with embedded.server() as url:
            os.environ["REDIS_URL"] = url
            bot: Inbox = import_module("examples.chat.bot").inbox  # reads REDIS_URL
            debounce, max_wait = bot.settings.debounce, bot.settings.max_wait
            assert not callable(debounce)
            assert not callable(max_wait)
            story = Story(history, debounce, max_wait)
            replay = Replay(lines, speed, bot.send, history)
            with Processes(out, {"INBOX_HISTORY": str(history.path)}) as processes:
                with console.status("starting a Redis server and the Procfile's processes"):
                    processes.wait_until_ready(START_TIMEOUT)
                console.print(f"[dim]ready: {', '.join(sorted(processes.ready))}[/]")
                with display_for(console, lines[-1].second / speed) as display:
                    watch(replay, story, processes, display, settle)
            outcome = judge(log, replay, story, bot)
    except (InboxError, ProcessError) as error:
        raise click.ClickException(str(error)) from error
    outcome.save(out / "report.json")
    outcome.show(console)
    console.print(f"  [dim]Logs, the handlers' record and the report as JSON are in {nearby(out)}[/]")
    sys.exit(not outcome.is_good)


def load(file: Path) -> Log:
    """Read the log, or end with one line that says why not."""
    try:
        log = read_log(file)
    except OSError as error:
        raise Unplayable(f"cannot read {file}: {error.strerror}") from error
    if not log.lines:
        raise Unplayable(f"{file} has no line of the form '[hh:mm] <nick> text'")
    return log


def end_in_order() -> None:
    """Let Ctrl-C and its kin leave every ``with`` block; a second one does not disturb that."""
    endings = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        for ending in endings:
            signal.signal(ending, signal.SIG_IGN)
        sys.exit(128 + number)

    for ending in endings:
        signal.signal(ending, end)


def watch(replay: Replay, story: Story, processes: Processes, display: Display, settle: float) -> None:
    """Replay the log; return when everything is handled, or when the time for that is over.

    Raises:
        InboxError: A send was refused.
        ProcessError: A worker has ended.
    """
    deadline = None
    replay.start()
    try:
        while deadline is None or (story.unhandled and time.monotonic() < deadline):
            if not replay.is_alive():
                deadline = deadline or time.monotonic() + settle
            processes.ensure_running()
            story.read_on()
            display.show(replay, story)
            time.sleep(FRAME_INTERVAL)
    finally:
        replay.stop()
    if replay.error:
        raise replay.error


def judge(log: Log, replay: Replay, story: Story, inbox: Inbox) -> Outcome:
    """Check the history when all workers have ended."""
    story.read_on()
    record = story.history.read()
    left = story.unhandled
    waiting = {(session, name) for session, name in left if name in waiting_ids(inbox, session)}
    letters = inbox.dead_letters(len(left)) if left else []
    dead = {(letter.session, message.id) for letter in letters for message in letter.messages}
    return Outcome(
        figures=story.figures,
        checks=check(record.events, waiting=waiting, dead=dead, bound=0),
        errors=sum(is_error(run) for run in runs(record.events)),
        torn=record.torn,
        bad_lines=log.bad,
        lag=replay.lag,
        is_complete=len(replay.texts) == len(replay.lines),
    )


def waiting_ids(inbox: Inbox, session: str) -> set[str]:
    """Read what the inbox still has of a session."""
    view = inbox.peek(session, 0, -1)
    return {message.id for message in (*view.messages, *view.batch)} if view else set()


def nearby(path: Path) -> Path:
    """Write a path as somebody who stands here would."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def is_error(run: Run) -> bool:
    """Whether the handler raised."""
    return run.end is not None and run.end.outcome == "error"


if __name__ == "__main__":
    main()
