"""Redis forgets its scripts, a hundred times a second."""

from redis import Redis

from celery_inbox.embedded import Server
from crash.load import Load
from crash.scene import Scene
from faults.redis_server import scripts_forgotten

GOES_ON = 30.0
FLUSHES = 100


def test_forgotten_scripts_under_load_lose_and_double_nothing(scene: Scene, data_server: Server) -> None:
    """Section 10: every script is loaded again, by senders and workers, as often as need be."""
    with Redis.from_url(data_server.url) as own, Load(scene) as load, scripts_forgotten(own) as flushes:
        load.wait_for_handled(50, timeout=GOES_ON)
        assert flushes.done >= FLUSHES
        assert load.refused == 0
    load.wait_for_all(timeout=GOES_ON)
    scene.assert_clean()
