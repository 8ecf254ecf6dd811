"""The broker is away for several seconds, Redis with the sessions is not."""

from crash.load import Load
from crash.scene import SOON, Scene, now_ms
from waiting import wait_until

GOES_ON = 30.0
AWAY = 10_000
"""Milliseconds."""


def test_sends_go_on_without_the_broker_and_are_handled_when_it_is_back(scene: Scene) -> None:
    """Section 8: ``send`` works, the running batch is finished and acknowledged, the rest waits for the broker."""
    running = [scene.send("running", do="wait", until="go").id]
    scene.wait_for_runs("running", 1)
    with Load(scene) as load:
        scene.setup.broker.kill()
        lost_at = now_ms()
        scene.worker.assert_log_exists("Connection to broker lost", timeout=SOON)
        scene.worker.assert_log_exists("the broker is away", timeout=SOON)
        scene.mark("go")
        scene.wait_for_handled("running", running)
        accepted = load.accepted
        wait_until(lambda: now_ms() - lost_at >= AWAY, description="the broker was away for a while")
        assert load.accepted > accepted
        assert load.refused == 0
        scene.setup.broker.restart()
        load.wait_for_handled(10, timeout=GOES_ON)
    load.wait_for_all(timeout=GOES_ON)
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()
