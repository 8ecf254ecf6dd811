"""Show on the terminal what happens, while it happens."""

import signal
import time
from abc import abstractmethod
from typing import Protocol, Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from celery_inbox.testing import Started
from demo.replay import Replay
from demo.story import Figures, Story

FRAME_INTERVAL = 0.1  # seconds between two looks
LINE_INTERVAL = 5.0  # seconds between two lines where there is no terminal
ROWS = 14  # runs on the screen
DOTS = 8  # messages of a batch that are drawn
NICK_WIDTH = 16
COLOURS = ("cyan", "green", "yellow", "blue", "bright_cyan", "bright_green", "bright_yellow", "bright_blue")


class Display(Protocol):
    """Something that shows a replay."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Begin."""

    @abstractmethod
    def __exit__(self, *error: object) -> None:
        """End."""

    @abstractmethod
    def show(self, replay: Replay, story: Story) -> None:
        """Show the state of things."""


def display_for(console: Console, seconds: float) -> Display:
    """Choose what the console can do.

    Args:
        console: Where to show it.
        seconds: How long the replay will take.
    """
    # Asking the file, not rich: FORCE_COLOR makes a CI's log a terminal to it.
    return Screen(console, seconds) if console.file.isatty() else Lines(console)


class Screen(Display):
    """A picture that is drawn again and again."""

    def __init__(self, console: Console, seconds: float) -> None:
        self.seconds = seconds
        self.began = time.monotonic()
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def show(self, replay: Replay, story: Story) -> None:
        if not self.live.console.file.isatty():
            # A terminal that is closed tells its session's first process; make does not pass it on.
            signal.raise_signal(signal.SIGHUP)
        elapsed = min(time.monotonic() - self.began, self.seconds)
        state = f"{replay.clock} in the log" if replay.is_alive() else "the log has ended, the last batches are handled"
        rows = Table.grid(expand=True)
        rows.add_row(ProgressBar(total=self.seconds, completed=elapsed, complete_style="cyan", finished_style="cyan"))
        rows.add_row(numbers(story.figures))
        rows.add_row()
        rows.add_row(runs_table(replay, story))
        picture = Panel(
            rows,
            title=f"[bold]{state}[/]",
            subtitle="● a message   ! a command   +ms after it was due   Ctrl-C ends it",
            subtitle_align="right",
            border_style="dim",
            box=box.ROUNDED,
            padding=(0, 1),
        )
        self.live.update(picture, refresh=True)


class Lines(Display):
    """A line of text every few seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.next = time.monotonic() + LINE_INTERVAL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, replay: Replay, story: Story) -> None:
        if time.monotonic() < self.next:
            return
        self.next += LINE_INTERVAL
        self.console.print(Text.assemble(f"{replay.clock}  ", numbers(story.figures)), soft_wrap=True)


def numbers(figures: Figures) -> Text:
    """Say on one line how far things are."""
    return Text("   ").join(
        [
            Text.assemble((f"{figures.messages:,}", "bold"), " messages"),
            Text.assemble((f"{figures.batches:,}", "bold"), " batches"),
            Text.assemble((f"{figures.commands:,}", "bold"), " commands"),
            Text.assemble("batches late by ", (milliseconds(figures.lateness_p50), "bold")),
            Text.assemble("commands by ", (milliseconds(figures.latency_p50), "bold")),
        ]
    )


def runs_table(replay: Replay, story: Story) -> RenderableType:
    """Draw the last runs, newest at the bottom: who, how many messages, what, how late."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=NICK_WIDTH, no_wrap=True)
    table.add_column(width=DOTS + 1, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(width=9, justify="right", no_wrap=True)
    rows = list(story.recent)[-ROWS:]
    for start, delay in rows:
        is_command = start.kind == "command"
        colour = COLOURS[sum(start.session.encode()) % len(COLOURS)]
        table.add_row(
            Text(plain(start.session), style="bold magenta" if is_command else colour, overflow="ellipsis"),
            Text("!", style="bold magenta") if is_command else Text(dots(len(start.messages)), style=colour),
            Text(said(start, replay.texts), style="magenta" if is_command else ""),
            Text(f"+{milliseconds(delay)}", style="dim"),
        )
    for _ in range(ROWS - len(rows)):
        table.add_row()
    return table


def said(start: Started, texts: dict[str, str]) -> str:
    """Join what the messages of a run say."""
    return plain("  ·  ".join(texts.get(message.id, "…") for message in start.messages))


def dots(count: int) -> str:
    """Draw a batch, one dot per message."""
    return "●" * count if count <= DOTS else "●" * (DOTS - 3) + f"+{count - DOTS + 3}"


def plain(text: str) -> str:
    """Leave out what would move a terminal's cursor or change its colours."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def milliseconds(value: int | None) -> str:
    """Write a duration; nothing measured is a dash."""
    if value is None:
        return "-"
    return f"{value} ms" if abs(value) < 10_000 else f"{value / 1000:.1f} s"
