"""Set tests and the explorer on mutants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mutants.copy_of_tree import Copy, Ran
from mutants.mutant import Mutant

BROKEN_PROMISE = "\nafter\n  1. "
"""Stands in what the explorer says of a history that breaks a promise."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    killed: bool
    """By its tests."""
    found: bool | None
    """By the explorer; None where it is not asked."""
    seconds: float
    told: str = ""
    """The end of what the tests said, if it survived."""

    @property
    def is_dead(self) -> bool:
        """Has everybody noticed who should?"""
        return self.killed and self.found is not False


class Unsound(Exception):
    """Something fails without any mutant: what it says of mutants means nothing."""


def check_unmutated(copy: Copy, mutants: Sequence[Mutant]) -> None:
    """See that tests and walks pass on the library as it is.

    Raises:
        Unsound: One does not.
    """
    files: dict[tuple[str, ...], dict[str, None]] = {}
    for mutant in mutants:
        paths = [argument for argument in mutant.tests if argument.startswith("tests/")]
        files.setdefault(mutant.tests[len(paths) :], {}).update(dict.fromkeys(paths))
    for choice, paths_of_choice in files.items():
        require_passed(copy.pytest(*paths_of_choice, *choice))
    for walk in dict.fromkeys(mutant.walk for mutant in mutants if mutant.walk):
        require_passed(copy.python("-m", "model", *walk))


def require_passed(ran: Ran) -> None:
    """Raise Unsound unless it did."""
    if ran.code != 0:
        raise Unsound(f"this fails without a mutant:\n{ran.said[-3000:]}")


def hunt(copy: Copy, mutants: Sequence[Mutant]) -> Iterator[Verdict]:
    """Let each mutant live for the length of its tests and its walk.

    Raises:
        Stale: A mutant does not fit the source any more.
    """
    for mutant in mutants:
        with copy.mutated(mutant):
            ran = copy.pytest(*mutant.tests)
            found, seconds = None, ran.seconds
            if mutant.walk:
                walked = copy.python("-m", "model", *mutant.walk)
                found, seconds = BROKEN_PROMISE in walked.said, seconds + walked.seconds
        yield Verdict(mutant, ran.code == 1, found, seconds, ran.said[-2000:])
