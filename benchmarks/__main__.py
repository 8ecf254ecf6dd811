"""``make bench``: start servers, measure, print tables, write figures and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from benchmarks import document, drain, flood, lateness, live, machine, pictures, recovery, rest, send, waiting
from benchmarks.sheet import Sheet

PARTS: dict[str, Callable[[int], Sheet]] = {
    "send": send.run,
    "drain": drain.run,
    "live": live.run,
    "lateness": lateness.run,
    "flood": flood.run,
    "recovery": recovery.run,
    "waiting": waiting.run,
    "rest": rest.run,
    "million": waiting.run_million,
}
ASKED_FOR = {"million"}
"""Parts that take so long that only their name starts them."""
DOCS = Path(__file__).parents[1] / "docs"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds, each with every peer.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/bench"), help="Where the figures go.")
@click.option("--docs", is_flag=True, help="Put tables and pictures into docs/benchmarks.md.")
def main(parts: tuple[str, ...], rounds: int, out: Path, docs: bool) -> None:
    """Measure celery-inbox beside its peers: the PARTS that are named, or all but those that take very long."""
    console = Console(width=150)
    shown = DOCS / "benchmarks" if docs else out
    for folder in (out, shown):
        folder.mkdir(parents=True, exist_ok=True)
    described = machine.describe()
    (out / "machine.json").write_text(json.dumps(described, indent=2) + "\n")
    if docs:
        lines = [f"| {name} | {what} |" for name, what in described.items()]
        document.put(DOCS / "benchmarks.md", "machine", "\n".join(["| | |", "| --- | --- |", *lines]))
    for part in parts or [part for part in PARTS if part not in ASKED_FOR]:
        sheet = PARTS[part](rounds)
        console.print(sheet.table())
        sheet.write(out)
        names = pictures.draw(sheet, shown)
        if docs and part not in ASKED_FOR:
            titles = [bars.title for bars in sheet.bars]
            drawn = [document.picture(name, title) for name, title in zip(names, titles, strict=True)]
            document.put(DOCS / "benchmarks.md", part, "\n\n".join([f"{sheet.title}.", sheet.markdown(), *drawn]))


if __name__ == "__main__":
    main()
