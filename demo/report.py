"""What came of a replay: figures and six checks, for people and as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from celery_inbox.testing import Report
from celery_inbox.testing.report import CHECKS
from celery_inbox.testing.violations import Check
from demo.live import milliseconds, plain
from demo.story import Figures

SHOWN = 5  # violations of one check on the terminal; the JSON has all
MEANING: dict[Check, str] = {
    "LOST": "accepted, but never handled and nowhere to be found",
    "DUP": "handled twice",
    "REORDER": "handled after what was sent later",
    "OVERLAP": "two batches of one session at the same time",
    "STUCK": "left waiting",
    "UNEXPECTED": "never sent, or sent to another session",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """All there is to say about one replay."""

    figures: Figures
    checks: Report
    errors: int
    """Handler runs that raised."""
    torn: int
    """Lines of the history that a killed process did not finish."""
    bad_lines: int
    """Lines of the log that could not be read."""
    lag: float
    """The furthest that a send was behind its turn, seconds."""
    is_complete: bool
    """Whether every line was sent."""

    @property
    def is_good(self) -> bool:
        """Whether the demo has shown what it promises."""
        return self.checks.is_clean and self.is_complete and self.figures.messages + self.figures.commands > 0

    def save(self, path: Path) -> None:
        """Write everything as JSON; durations in ms."""
        content = {
            **asdict(self.figures),
            "handler_errors": self.errors,
            "torn_lines": self.torn,
            "bad_lines": self.bad_lines,
            "replay_lag": round(self.lag * 1000),
            "complete": self.is_complete,
            "checks": {check: [str(found) for found in self.checks.of(check)] for check in CHECKS},
        }
        path.write_text(json.dumps(content, indent=2) + "\n")

    def show(self, console: Console) -> None:
        """Print the report."""
        console.print(Padding(Group(self._figures(), Text(), self._checks()), (1, 0, 1, 2), expand=False))
        if self.is_good:
            console.print("  [bold green]Everything was handled: once, in order, one batch of a person at a time.[/]")
        else:
            console.print("  [bold red]This is not what celery-inbox promises.[/]")

    def _figures(self) -> Table:
        figures = self.figures
        table = Table.grid(padding=(0, 3))
        table.add_column(style="dim")
        table.add_column(justify="right", style="bold")
        table.add_column()
        table.add_row("messages in", f"{figures.messages:,}", f"from {figures.sessions:,} people")
        table.add_row("batches", f"{figures.batches:,}", "one call of the handler each")
        table.add_row("mean batch size", decimal(figures.mean_batch), f"the largest had {figures.largest_batch}")
        table.add_row("commands", f"{figures.commands:,}", "handled beside the batches")
        latency = pair(figures.latency_p50, figures.latency_p99)
        lateness = pair(figures.lateness_p50, figures.lateness_p99)
        table.add_row("command latency p50 / p99", latency, "from sent to its handler's start")
        table.add_row("batch lateness p50 / p99", lateness, "from due to its handler's start")
        if self.errors:
            table.add_row("handler errors", f"{self.errors:,}", "tried again")
        if self.bad_lines:
            table.add_row("bad lines", f"{self.bad_lines:,}", "of the log, left out")
        return table

    def _checks(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
        table.add_column("check")
        table.add_column("found", justify="right")
        table.add_column("what it looks for, in the handlers' own record")
        for check in CHECKS:
            found = self.checks.of(check)
            style = "bold red" if found else "green"
            table.add_row(Text(check, style), Text(str(len(found)) if found else "none", style), MEANING[check])
            for violation in found[:SHOWN]:
                table.add_row("", "", Text(plain(str(violation)), "red"))
        return table


def pair(first: int | None, second: int | None) -> str:
    """Write two durations."""
    return f"{milliseconds(first)} / {milliseconds(second)}"


def decimal(value: float | None) -> str:
    """Write a mean; nothing measured is a dash."""
    return "-" if value is None else f"{value:.2f}"
