"""``make mutants``: break a copy of the library in one place after the other, and see who notices."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from mutants.catalogue import MUTANTS, STATE_MACHINE
from mutants.copy_of_tree import Copy, copy_of_tree, failed_files
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


def idle_files(copy: Copy) -> list[str]:
    """Files of the store's tests that no mutant of the in-memory store fails."""
    files = {f"tests/store/{path.name}" for path in (copy.root / "tests" / "store").glob("test_*.py")}
    for mutant in STATE_MACHINE:
        if mutant.place == "Python" and files:
            with copy.mutated(mutant):
                ran = copy.python(
                    "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *sorted(files), "-k", "memory"
                )
            files -= failed_files(ran.said)
    return sorted(files)


@click.command()
@click.option("--only", default="", help="Only mutants whose name or file has this text.")
@click.option("--files", is_flag=True, help="Tell instead which files of tests/store kill no mutant.")
def main(only: str, files: bool) -> None:
    """Hunt, print, and fail if one survived."""
    console, verdicts = Console(width=140), list[Verdict]()
    chosen = [mutant for mutant in MUTANTS if only in mutant.name or only in mutant.file]
    with copy_of_tree() as copy:
        if files:
            console.print("\n".join(["kill no mutant of the in-memory store:", *idle_files(copy)]))
            return
        console.print(f"{len(chosen)} mutants; first their tests without them")
        check_unmutated(copy, chosen)
        for verdict in hunt(copy, chosen):
            verdicts.append(verdict)
            console.print(f"{'dead ' if verdict.is_dead else 'alive'} {verdict.mutant.name} ({verdict.mutant.file})")
            if not verdict.is_dead:
                console.print(verdict.told, markup=False)
    console.print(table(verdicts))
    alive = [verdict for verdict in verdicts if not verdict.is_dead]
    console.print(f"{len(verdicts) - len(alive)} of {len(verdicts)} mutants are dead")
    sys.exit(bool(alive) or not verdicts)


if __name__ == "__main__":
    main()
