"""What a command prints: text for people, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

import click

from celery_inbox.cli.endings import NOTHING_TO_DO, end

Columns = Mapping[str, Callable[[Any], object]]
WIDTH = 80
"""Characters of a body that a table shows."""


class Output:
    """Prints one outcome."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def outcome(self, record: Any, sentence: str) -> None:
        """Tell what was done."""
        if self.as_json:
            self.json(record)
        else:
            click.echo(sentence)

    def nothing(self, record: Any, sentence: str) -> NoReturn:
        """Tell that there was nothing to do, and end."""
        if self.as_json:
            self.json(record)
        else:
            click.echo(sentence, err=True)
        end(NOTHING_TO_DO)

    def list(self, records: Sequence[Any], columns: Columns, empty: str) -> None:
        """Print records: as a JSON list, or as a table."""
        if self.as_json:
            self.json(records)
        elif records:
            table(list(columns), [[cell(record) for cell in columns.values()] for record in records])
        else:
            click.echo(empty)

    def note(self, sentence: str) -> None:
        """Tell something beside the outcome."""
        click.echo(sentence, err=True)

    def json(self, value: Any) -> None:
        """Print JSON."""
        click.echo(json.dumps(value, default=jsonable, indent=2))


def jsonable(value: Any) -> Any:
    """What JSON has no form for: our values field by field, anything else as text."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(value) if isinstance(value, Mapping) else str(value)


def facts(said: Mapping[str, object]) -> None:
    """Print names and values for people, one a line."""
    width = max(map(len, said))
    for name, value in said.items():
        click.echo(f"{name.ljust(width)}  {shown(value)}")


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows for people: by rich in a terminal if it is installed, else as aligned text."""
    cells = [[shown(cell) for cell in row] for row in rows]
    numbers = {place for place in range(len(names)) if all(isinstance(row[place], int) for row in rows)}
    if sys.stdout.isatty() and by_rich(names, cells, numbers):
        return
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    for row in (names, *cells):
        aligned = [
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(aligned).rstrip())


def by_rich(names: Sequence[str], cells: Sequence[Sequence[str]], numbers: set[int]) -> bool:
    """Whether rich was there to print the table."""
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    drawn = Table(box=SIMPLE_HEAD)
    for place, name in enumerate(names):
        drawn.add_column(name, justify="right" if place in numbers else "left", overflow="fold")
    for row in cells:
        drawn.add_row(*map(Text, row))
    Console().print(drawn)
    return True


def shown(value: object) -> str:
    """A value as one line that cannot steer a terminal, whoever chose a session's name."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def body_text(body: Any, whole: bool) -> str:
    """A body as one line of JSON, shortened unless the whole is wanted."""
    text = json.dumps(body, ensure_ascii=False, default=jsonable)
    return text if whole or len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
