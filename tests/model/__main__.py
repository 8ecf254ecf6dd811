"""``make model DEPTH=n``: walk through all histories of every case and print how many worlds there are."""

from __future__ import annotations

import gc
import sys
import time

import click
from rich.console import Console
from rich.table import Table

from model.case import cases
from model.explorer import Explored, Violation, explore


def table(walks: list[tuple[Explored, float]]) -> Table:
    """What each case has shown."""
    drawn = Table(title="Every history, walked")
    for heading in ("case", "faults", "calls of people", "depth", "all?", "worlds", "steps", "fair steps", "seconds"):
        drawn.add_column(heading, justify="left" if heading == "case" else "right")
    for each, seconds in walks:
        case, is_all = each.case, "all" if each.is_all else ""
        figures = (case.faults, case.steered, each.depth, is_all)
        counts = (f"{number:,}" for number in (each.worlds, each.steps, each.fair))
        drawn.add_row(case.name, *map(str, figures), *counts, f"{seconds:.0f}")
    return drawn


@click.command()
@click.option("--depth", default=12, help="Steps of the longest history.")
@click.option("--faults", default=2, help="Most faults of one history.")
@click.option("--steered", default=1, help="Most calls of people in one history.")
@click.option("--case", "names", multiple=True, help="Only these cases.")
def main(depth: int, faults: int, steered: int, names: tuple[str, ...]) -> None:
    """Walk, print, and fail at the first promise that is broken."""
    gc.disable()  # worlds hold no circles, and looking for some would take half the time
    walks: list[tuple[Explored, float]] = []
    for case in cases(faults, steered):
        if names and case.name not in names:
            continue
        started = time.monotonic()
        try:
            walks.append((explore(case, depth), time.monotonic() - started))
            click.echo(f"{case.name}: {walks[-1][0].worlds:,} worlds")
        except Violation as violation:
            click.echo(str(violation), err=True)
            sys.exit(1)
    Console(width=120).print(table(walks))


if __name__ == "__main__":
    main()
