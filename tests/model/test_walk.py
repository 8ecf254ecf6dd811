"""Short walks through all histories: every world keeps the promises, and from every world a way leads to the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from celery_inbox.store.partition import Partition
from model.case import Case, cases
from model.explorer import Violation, explore
from model.likeness import key_of
from model.world import World


@pytest.fixture(autouse=True)
def without_garbage_collection() -> Iterator[None]:
    """Worlds hold no circles; looking for some takes as long as the walk."""
    gc.disable()
    yield
    gc.enable()


def case_of(name: str, faults: int, steered: int) -> Case:
    """Pick a case."""
    return next(case for case in cases(faults, steered) if case.name == name)


@pytest.mark.parametrize(
    ("name", "faults", "steered", "depth"),
    [
        ("in line", 0, 0, 10),
        ("in line", 1, 0, 7),
        ("in line, rejoin, hold", 0, 1, 7),
        ("jump", 1, 0, 5),
        ("a lull", 0, 0, 10),
        ("two sessions", 0, 0, 7),
        ("three workers", 1, 1, 5),
    ],
)
def test_every_history_keeps_the_promises(name: str, faults: int, steered: int, depth: int) -> None:
    """A violation shows the shortest way to it; the depths are for `make model` to raise."""
    explored = explore(case_of(name, faults, steered), depth)
    assert explored.depth == depth
    assert explored.levels[-1] > explored.levels[0]
    assert explored.worlds == sum(explored.levels) + 1


def test_a_broken_store_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that can find nothing would show nothing: here a lease ends at once, and the way to it is told."""
    hold = Partition.hold

    def without_lease(self: Partition, digest: str, *rest: object) -> object:
        claim = hold(self, digest, *rest)  # type: ignore[arg-type]
        self.leased[digest] = 0
        return claim

    monkeypatch.setattr(Partition, "hold", without_lease)
    with pytest.raises(Violation, match="a lease ends when it was said to") as violation:
        explore(case_of("in line", 0, 0), 8)
    assert [step[0] for step in violation.value.steps][-2:] == ["dispatch", "take"]


def test_a_stuck_store_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong in any world, but from some no way leads to the end: the kicks that are lost stay recorded."""
    monkeypatch.setattr(World, "has_old_kicks", lambda *_: False)
    with pytest.raises(Violation, match="nothing is stuck"):
        explore(case_of("in line", 1, 0), 8)


def test_worlds_that_differ_in_names_and_clock_alone_are_one() -> None:
    """Otherwise there would be no end of them."""
    case = case_of("in line", 1, 0)
    one, other = World(case), World(case)
    other.take(("tick",))
    other.inbox.next_name("token")
    assert key_of(one) == key_of(other)
    other.take(("send", 0))
    assert key_of(one) != key_of(other)
    one.take(("send", 0))
    assert key_of(one) == key_of(other)
    other.take(("tick",))
    assert key_of(one) != key_of(other)
