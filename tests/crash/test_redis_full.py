"""Redis, in which the sessions live, has no memory left for a while."""

from crash.load import Load
from crash.scene import Scene
from faults.redis_server import full
from waiting import wait_until

GOES_ON = 30.0


def test_a_full_redis_refuses_sends_and_finishes_what_it_has(scene: Scene) -> None:
    """Section 8: sends are refused by an error with their id; what was accepted is handled meanwhile."""
    with Load(scene) as load:
        load.wait_for_handled(10, timeout=GOES_ON)
        for _ in range(3):
            with full(scene.data):
                refused = load.refused
                wait_until(lambda refused=refused: load.refused > refused, description="a send was refused")  # type: ignore[misc]
                accepted = load.accepted
                wait_until(
                    lambda accepted=accepted: len(scene.handled()) >= accepted - 1,  # type: ignore[misc]
                    description="what was accepted is handled without memory",
                    timeout=GOES_ON,
                )
            load.wait_for_handled(10, timeout=GOES_ON)
    load.wait_for_all(timeout=GOES_ON)
    scene.assert_clean()
