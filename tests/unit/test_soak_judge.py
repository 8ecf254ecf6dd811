"""The soak's judge excuses what a fault has brought about, and nothing else."""

from __future__ import annotations

import pytest

from celery_inbox.testing import Ended, Run, Started
from celery_inbox.testing.violations import Dup, Lost, Overlap
from soak.causes import UNRENEWED, Causes
from soak.figures import percentile
from soak.strikes import Strikes

SIDE = "north"


def run(name: str, at: int, until: int, pid: int = 1, fence: int = 1) -> Run:
    """A run that handled message m."""
    fields = {"session": "s", "kind": "batch", "batch": "b", "fence": fence, "attempt": 1, "messages": ()}
    start = Started(run=name, pid=pid, at=at, **fields)  # type: ignore[arg-type]
    end = Ended(run=name, pid=pid, at=until, outcome="ok", error=None, **fields)  # type: ignore[arg-type]
    return Run(start, end, at, until)


FIRST, SECOND = run("1", 10_000, 20_000, pid=1), run("2", 18_000, 21_000, pid=2, fence=2)


@pytest.fixture
def strikes() -> Strikes:
    return Strikes()


def frozen(strikes: Strikes, pid: int, at: int, until: int, side: str = SIDE) -> None:
    strike = strikes.begin("freeze child", side)
    strike.at, strike.until, strike.frozen = at, until, {pid}


def killed(strikes: Strikes, pid: int, at: int) -> None:
    strike = strikes.begin("kill child", SIDE)
    strike.at = strike.until = at
    strike.killed = {pid: at}


def test_without_a_fault_nothing_is_excused(strikes: Strikes) -> None:
    """Neither overlap nor repetition nor loss."""
    causes = Causes(strikes, SIDE)
    for violation in (Overlap("s", FIRST, SECOND), Dup("s", "m", (FIRST, SECOND)), Lost("s", "batch", "m")):
        assert causes.of(violation, set()) is None


def test_a_holder_that_stood_for_long_enough_is_an_excuse(strikes: Strikes) -> None:
    """Promise 3; for an overlap and for a repetition."""
    frozen(strikes, 1, 11_000, 11_000 + UNRENEWED)
    causes = Causes(strikes, SIDE)
    assert causes.of(Overlap("s", FIRST, SECOND), set()) == "freeze child"
    assert causes.of(Dup("s", "m", (FIRST, SECOND)), {SECOND}) == "freeze child"


@pytest.mark.parametrize(
    ("pid", "until", "side"), [(1, 11_000 + UNRENEWED // 2, SIDE), (3, 16_000, SIDE), (1, 16_000, "south")]
)
def test_a_fault_that_cannot_be_the_cause_is_none(strikes: Strikes, pid: int, until: int, side: str) -> None:
    """Too short, another process, another side."""
    frozen(strikes, pid, 11_000, until, side)
    assert Causes(strikes, SIDE).of(Overlap("s", FIRST, SECOND), set()) is None


def test_a_kill_excuses_what_it_kept_from_being_acknowledged(strikes: Strikes) -> None:
    """Between the end of the handler and the ack, promise 4; not one before, and never two acks."""
    late = run("3", 25_000, 26_000, pid=2, fence=3)
    killed(strikes, 1, 9_000)
    assert Causes(strikes, SIDE).of(Dup("s", "m", (FIRST, late)), {late}) is None
    killed(strikes, 1, 20_050)
    assert Causes(strikes, SIDE).of(Dup("s", "m", (FIRST, late)), {late}) == "kill child before the ack"
    assert Causes(strikes, SIDE).of(Dup("s", "m", (FIRST, late)), {FIRST, late}) is None


def test_a_percentile_is_the_bound_of_its_bucket() -> None:
    """With nothing measured, a dash."""
    assert percentile({"1": 50, "5": 49, "more": 1}, 0.5) == "≤ 1 ms"
    assert percentile({"1": 50, "5": 49, "more": 1}, 0.99) == "≤ 5 ms"
    assert percentile({"1": 0, "more": 1}, 0.99) == "> 1 ms"
    assert percentile({"1": 0, "more": 0}, 0.5) == "-"
