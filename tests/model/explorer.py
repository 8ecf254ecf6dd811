"""Walks through every world that a case can reach, breadth first, and judges each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from model.case import Case
from model.clone import clone
from model.likeness import key_of
from model.promises import Broken, require
from model.world import Step, World

Path = tuple[Any, Step] | None
"""Steps from the beginning: the path before, and the last step."""


class Violation(AssertionError):
    """A world in which a promise is broken, with the way to it."""

    def __init__(self, case: Case, path: Path, error: BaseException) -> None:
        self.steps = steps_of(path)
        told = "\n".join(f"  {number}. {' '.join(map(str, step))}" for number, step in enumerate(self.steps, 1))
        super().__init__(f"{case.name}: {type(error).__name__}: {error}\nafter\n{told}")


@dataclass
class Explored:
    """What a walk has seen."""

    case: Case
    depth: int = 0
    """Steps of the longest history that was walked."""
    worlds: int = 0
    """Different ones."""
    steps: int = 0
    fair: int = 0
    """Steps that were walked to see that nothing is stuck, beyond those of the walk itself."""
    is_all: bool = False
    """Was there nothing more to walk?"""
    levels: list[int] = field(default_factory=list)
    """New worlds at each depth."""


def steps_of(path: Path) -> list[Step]:
    """Unroll a path."""
    steps: list[Step] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return steps[::-1]


def explore(case: Case, depth: int) -> Explored:
    """Walk through all histories of up to so many steps.

    Args:
        case: Who takes part.
        depth: Longest history, steps.

    Raises:
        Violation: A promise is broken; no shorter history breaks one.
    """
    explored, ends_well, first = Explored(case), EndsWell(), World(case)
    known = {key_of(first)}
    frontier: list[tuple[World, Path]] = [(first, None)]
    while frontier and explored.depth < depth:
        explored.depth += 1
        reached: list[tuple[World, Path]] = []
        for world, path in frontier:
            for after, way in successors(world, path):
                explored.steps += 1
                key = key_of(after)
                if key not in known:
                    known.add(key)
                    reached.append((after, way))
                    explored.fair += ends_well.walk(after, way)
        explored.levels.append(len(reached))
        frontier = reached
    explored.worlds, explored.is_all = len(known), not frontier
    return explored


def successors(world: World, path: Path) -> Iterator[tuple[World, Path]]:
    """Every world that is one step away."""
    for step in world.steps():
        yield stepped(world, step, path)


def stepped(world: World, step: Step, path: Path) -> tuple[World, Path]:
    """Take a step in a copy of a world."""
    after, way = clone(world), (path, step)
    try:
        after.take(step)
    except (AssertionError, LookupError, TypeError) as error:
        raise Violation(world.case, way, error) from error
    return after, way


class EndsWell:
    """From every world a fair history leads to the end: nothing is stuck, and nothing is left behind."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def walk(self, world: World, path: Path) -> int:
        """Let everybody do their work, without faults, until nothing is left; how many steps it took is the reply.

        Raises:
            Violation: It goes round in circles, or something is left.
        """
        seen: dict[bytes, None] = {}
        while True:
            key = key_of(world)
            if key in self._known:
                break
            try:
                require(key not in seen, "a fair history comes to its end")
                seen[key] = None
                step = fair_step(world, key)
                if step is None:
                    check_end(world)
                    break
            except Broken as error:
                raise Violation(world.case, path, error) from error
            world, path = stepped(world, step, path)
        self._known.update(seen)
        return len(seen) - 1


def fair_step(world: World, key: bytes) -> Step | None:
    """What happens next if nothing goes wrong any more; stopped sessions go on when there is nothing else to do."""
    if world.late:
        return "late call", 0
    for number, worker in enumerate(world.workers):
        if worker.call:
            return "call", number
        if worker.claim:
            return "return", number
    if world.broker:
        return "take", 0, 0
    for step in (*dispatcher_steps(world), ("tick",)):
        after = clone(world)
        after.take(step)
        if key_of(after) != key:
            return step
    for number, place in enumerate(world.case.addresses):
        expected = world.inbox.expected[place.digest]
        if expected.left and expected.is_stopped(world.inbox.now):
            return "resume", number
    return None


def dispatcher_steps(world: World) -> Iterator[Step]:
    """What a dispatcher does when it looks."""
    for number, name in enumerate(world.case.partitions):
        if name in world.counted:
            yield "recount", number
        else:
            yield "dispatch", number
            if world.has_old_kicks(name):
                yield "count", number, world.queued(name)
        yield "reclaim", number


def check_end(world: World) -> None:
    """Nothing is left to do: nothing may be left at all."""
    require(not world.inbox.unsettled(), "nothing is stuck", world.inbox.unsettled())
    for partition in world.inbox.store.partitions.values():
        sets = (partition.due, partition.leased, partition.stopped)
        kept = (partition.sessions, *sets, partition.kicks, partition.holders)
        require(not any(kept), "nothing is left behind", kept)
