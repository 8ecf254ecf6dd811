"""Kicks vanish from the broker: deleted by hand, or with the whole database."""

import pytest

from crash.scene import RECOVERY, Scene, now_ms, seconds_between
from waiting import wait_until

PARTITIONS = 4


@pytest.fixture
def settings() -> dict[str, int]:
    """Enough partitions that kicks wait at the broker while the only slot is taken."""
    return {"partitions": PARTITIONS}


def sessions_of_each_partition(scene: Scene, name: str) -> dict[str, str]:
    """One session per partition."""
    found: dict[str, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        found.setdefault(scene.partition_of(f"{name}-{number}"), f"{name}-{number}")
        number += 1
    return found


def delete_by_hand(scene: Scene) -> None:
    for queue in scene.queues():
        scene.broker.ltrim(queue, 1, 0)
    scene.broker.delete("unacked", "unacked_index")


def flush(scene: Scene) -> None:
    scene.broker.flushdb()


def test_sessions_whose_kicks_are_lost_are_kicked_again(scene: Scene) -> None:
    """Promise 9: within lease and dispatch interval, after a deletion by hand and after FLUSHDB of the broker."""
    for lose in (delete_by_hand, flush):
        busy, gate = f"busy-{lose.__name__}", f"gate-{lose.__name__}"
        scene.send(busy, do="wait", until=gate, flush=True)
        scene.wait_for_runs(busy, 1)
        others = sessions_of_each_partition(scene, lose.__name__)
        ids = {session: scene.send_some(session, 2) for session in others.values()}
        # One is in the worker's hands; the slot's own partition is not kicked again as long as it has no free slot.
        wait_until(
            lambda: sum(scene.broker.llen(queue) for queue in scene.queues()) >= PARTITIONS - 2,
            description="kicks that wait at the broker",
        )
        lost = [others[queue.rpartition(".")[2]] for queue in scene.queues() if scene.broker.llen(queue)]
        lose(scene)
        lost_at = now_ms()
        assert scene.kicks_at_the_broker() == 0
        assert scene.recorded_kicks() > 0
        scene.mark(gate)
        for session in others.values():
            scene.wait_for_handled(session, ids[session])
            assert scene.handled(session) == ids[session]
        for session in lost:
            assert seconds_between(lost_at, scene.runs(session)[0].start.at) <= RECOVERY, f"{session}, {lose.__name__}"
    scene.assert_clean()
