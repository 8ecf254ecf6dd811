"""What a part found: the table that people read, the bars that they look at, the figures that programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bars:
    """One picture: groups of bars on a logarithmic scale."""

    title: str
    unit: str
    groups: Sequence[str]
    heights: Mapping[str, Sequence[float]]
    """By legend, one for each group."""
    spreads: Mapping[str, Sequence[tuple[float, float]]]
    """Least and most, likewise."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The result of one part of the benchmark."""

    name: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Any
    """The same and more, for JSON."""
    bars: Sequence[Bars] = field(default=())

    def table(self) -> Table:
        """For the terminal."""
        drawn = Table(title=self.title)
        for number, heading in enumerate(self.headings):
            drawn.add_column(heading, justify="right" if number else "left")
        for row in self.rows:
            drawn.add_row(*row)
        return drawn

    def markdown(self) -> str:
        """For the docs."""
        lines = [self.headings, ["---", *["---:"] * (len(self.headings) - 1)], *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def write(self, folder: Path) -> None:
        """Keep the figures as ``<name>.json``."""
        text = json.dumps(self.figures, indent=2, default=asdict)
        (folder / f"{self.name}.json").write_text(text + "\n")
