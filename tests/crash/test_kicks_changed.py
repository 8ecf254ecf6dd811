"""Kicks that lie in the broker are doubled, reordered, or given to a task that no worker knows."""

import random
from collections.abc import Callable
from typing import TypeAlias

import pytest
from redis import Redis

from crash.load import Load
from crash.scene import Scene
from faults.kicks import double, misaddress, reorder
from waiting import wait_until

GOES_ON = 30.0
STRUCK = 5
"""Kicks of each fault."""

Fault: TypeAlias = Callable[[Redis, str], int]
FAULTS: dict[str, Fault] = {
    "doubled": double,
    "reordered": lambda broker, queue: reorder(broker, queue, random.Random(1)),
    "misaddressed": misaddress,
}


@pytest.fixture
def settings() -> dict[str, int]:
    """Kicks of many partitions wait for the only slot."""
    return {"partitions": 8}


def test_changed_kicks_under_load_lose_and_double_nothing(scene: Scene) -> None:
    """Section 2: a kick is a hint; whatever becomes of it, the lease decides."""
    with Load(scene, sessions=16) as load:
        for name, fault in FAULTS.items():
            struck = 0

            def strike(fault: Fault = fault) -> bool:
                nonlocal struck
                struck += sum(fault(scene.broker, queue) for queue in scene.queues())
                return struck >= STRUCK

            wait_until(strike, description=f"{STRUCK} kicks were {name}", timeout=GOES_ON)
            load.wait_for_handled(20, timeout=GOES_ON)
    load.wait_for_all(timeout=GOES_ON)
    scene.assert_clean()
