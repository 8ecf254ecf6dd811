"""``make mutants``: break a copy of the library in one place after the other, and see who notices."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from mutants.catalogue import MUTANTS
from mutants.copy_of_tree import copy_of_tree
from mutants.hunt import Verdict, check_unmutated, hunt

YES, NO, NOT_ASKED = "yes", "[bold red]SURVIVED", ""


def table(verdicts: list[Verdict]) -> Table:
    """Who noticed what."""
    drawn = Table(title="Mutants")
    for heading in ("mutant", "lives in", "killed by its tests", "found by the explorer", "seconds"):
        drawn.add_column(heading, justify="right" if heading == "seconds" else "left")
    for each in verdicts:
        found = NOT_ASKED if each.found is None else YES if each.found else NO
        killed = YES if each.killed else NO
        drawn.add_row(each.mutant.name, each.mutant.file, killed, found, f"{each.seconds:.0f}")
    return drawn


@click.command()
@click.option("--only", default="", help="Only mutants whose name or file has this text.")
def main(only: str) -> None:
    """Hunt, print, and fail if one survived."""
    console, verdicts = Console(width=140), list[Verdict]()
    chosen = [mutant for mutant in MUTANTS if only in mutant.name or only in mutant.file]
    with copy_of_tree() as copy:
        console.print(f"{len(chosen)} mutants; first their tests without them")
        check_unmutated(copy, chosen)
        for verdict in hunt(copy, chosen):
            verdicts.append(verdict)
            if not verdict.is_dead:
                console.print(f"[bold]{verdict.mutant.name}[/] ({verdict.mutant.file}) survived\n{verdict.told}")
    console.print(table(verdicts))
    alive = [verdict for verdict in verdicts if not verdict.is_dead]
    console.print(f"{len(verdicts) - len(alive)} of {len(verdicts)} mutants are dead")
    sys.exit(bool(alive) or not verdicts)


if __name__ == "__main__":
    main()
