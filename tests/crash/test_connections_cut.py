"""Connections to Redis and to the broker break."""

from redis import Redis

from crash.load import Load
from crash.scene import Scene

GOES_ON = 30.0
CUTS = 20


def cut(server: Redis) -> int:
    """End every connection but the tester's own of this moment; how many there were."""
    return sum(int(server.client_kill_filter(_type=kind, skipme=True)) for kind in ("normal", "pubsub"))


def test_cut_connections_under_load_lose_and_double_nothing(scene: Scene) -> None:
    """STK-9: twenty cuts, every second one of the broker's connections too; all goes on by itself."""
    with Load(scene) as load:
        load.wait_for_handled(10, timeout=GOES_ON)
        for number in range(CUTS):
            assert cut(scene.data) > 0
            if number % 2:
                assert cut(scene.broker) > 0
            load.wait_for_handled(5, timeout=GOES_ON)
    load.wait_for_all(timeout=GOES_ON)
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()
