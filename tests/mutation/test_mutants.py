"""Every mutant fits the source, and the quick ones are hunted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mutants.catalogue import AROUND, MUTANTS, STATE_MACHINE
from mutants.copy_of_tree import ROOT, Copy, copy_of_tree
from mutants.hunt import hunt
from mutants.mutant import Mutant, Stale

SOURCE = ROOT / "src" / "celery_inbox"
QUICK = {
    "the fence is ignored",
    "attempts are not counted",
    "a pause is not seen when a session is armed",
    "a message is accepted twice",
}
"""Their tests need no worker, and their walks are short."""


def name_of(mutant: Mutant) -> str:
    return f"{mutant.name} ({mutant.file})"


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_a_mutant_fits_the_source(mutant: Mutant) -> None:
    """It changes exactly one place, the tests that should kill it exist, and it says who they are."""
    assert mutant.mutated(SOURCE) != (SOURCE / mutant.file).read_text()
    paths = [argument for argument in mutant.tests if argument.startswith("tests/")]
    assert paths
    assert all((ROOT / path).is_file() for path in paths)


def test_a_mutant_that_no_longer_fits_is_stale() -> None:
    """It fails instead of surviving or being forgotten."""
    mutant = Mutant("old", "store/keys.py", "this text was never there", "", ("tests/unit/test_keys.py",))
    with pytest.raises(Stale, match="there 0 times"):
        mutant.mutated(SOURCE)


def test_both_stores_are_broken_in_the_same_ways() -> None:
    """Each mistake of the state machine is made in Python and in Lua."""
    in_python = [mutant.name for mutant in STATE_MACHINE if mutant.place == "Python"]
    assert in_python == [mutant.name for mutant in STATE_MACHINE if mutant.place == "Lua"]
    assert len({*in_python, *(mutant.name for mutant in AROUND)}) >= 18


@pytest.fixture(scope="module")
def tree() -> Iterator[Copy]:
    """Make one copy for all hunts."""
    with copy_of_tree() as copy:
        yield copy


@pytest.mark.parametrize("mutant", [mutant for mutant in STATE_MACHINE if mutant.name in QUICK], ids=name_of)
def test_a_quick_mutant_is_killed(tree: Copy, mutant: Mutant) -> None:
    """By its tests, and by the explorer where it lives in the in-memory store; `make mutants` hunts all of them."""
    (verdict,) = hunt(tree, [mutant])
    assert verdict.killed, verdict.told
    assert verdict.found is not False


def test_a_mutant_that_does_no_harm_survives(tree: Copy) -> None:
    """A hunt that kills everything would show nothing."""
    harmless = Mutant("nothing", "store/keys.py", "PROTOCOL = 1", "PROTOCOL = 1 ", ("tests/unit/test_keys.py",))
    (verdict,) = hunt(tree, [harmless])
    assert not verdict.killed


def test_the_checkout_is_left_alone(tree: Copy) -> None:
    """A mutant lives in the copy, and only for a while."""
    mutant = MUTANTS[0]
    before = (SOURCE / mutant.file).read_text()
    with tree.mutated(mutant):
        assert Path(tree.source / mutant.file).read_text() != before
        assert (SOURCE / mutant.file).read_text() == before
    assert (tree.source / mutant.file).read_text() == before
