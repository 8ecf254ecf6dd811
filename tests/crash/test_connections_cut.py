"""Connections to Redis and to the broker break."""

from crash.load import Load
from crash.scene import Scene
from faults.redis_server import kill_clients

GOES_ON = 30.0
CUTS = 20


def test_cut_connections_under_load_lose_and_double_nothing(scene: Scene) -> None:
    """STK-9: twenty cuts, every second one of the broker's connections too; all goes on by itself."""
    with Load(scene) as load:
        load.wait_for_handled(10, timeout=GOES_ON)
        for number in range(CUTS):
            assert kill_clients(scene.data) > 0
            if number % 2:
                assert kill_clients(scene.broker) > 0
            load.wait_for_handled(5, timeout=GOES_ON)
    load.wait_for_all(timeout=GOES_ON)
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()
