"""The process that runs the handler dies, the worker lives on."""

import pytest

from crash.scene import LEASE, RECOVERY, Scene, seconds_between
from faults.processes import is_alive

TIME_LIMIT = 2.0
"""Seconds, as in the app."""

DEATHS = {"drop_dead": 0.0, "kill_itself": 0.0, "ignore_the_soft_limit": TIME_LIMIT, "hang": TIME_LIMIT}
"""Deed, and seconds from the start to the death."""

LIMITED = {"ignore_the_soft_limit", "hang"}
"""For the inbox with time limits: at the hard one Celery sends SIGTERM, then SIGKILL to what is deaf to it."""


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    """A process for each death, so that none waits for another."""
    return ("--pool", "prefork", "--concurrency", str(len(DEATHS)))


@pytest.fixture
def settings() -> dict[str, int]:
    """A partition for each death, or nearly."""
    return {"partitions": 16}


def test_a_batch_whose_process_died_is_tried_again_before_what_came_later(scene: Scene) -> None:
    """LOS-3, ORD-4, STK-1: same id, same messages, attempt 2, within lease and dispatch interval of the death."""
    inboxes = {deed: scene.beside("limited") if deed in LIMITED else scene for deed in DEATHS}
    first = {deed: [inbox.send(deed, do=deed).id, *inbox.send_some(deed, 2)] for deed, inbox in inboxes.items()}
    later = {}
    for deed, inbox in inboxes.items():
        inbox.wait_for_runs(deed, 1)
        later[deed] = inbox.send_some(deed, 2)
    for deed, inbox in inboxes.items():
        inbox.wait_for_handled(deed, first[deed] + later[deed])
        killed, again, *rest = inbox.runs(deed)
        assert killed.end is None or killed.end.error == "SystemExit", deed
        assert not is_alive(killed.start.pid), deed
        assert list(killed.ids) == first[deed] == list(again.ids), deed
        assert again.start.batch == killed.start.batch, deed
        assert (killed.start.attempt, again.start.attempt) == (1, 2), deed
        assert again.start.fence > killed.start.fence, deed
        waited = seconds_between(killed.start.at, again.start.at) - DEATHS[deed]
        assert waited <= RECOVERY, deed
        assert waited + DEATHS[deed] >= LEASE, f"{deed}: the batch was given away while its lease ran"
        assert [id for run in rest for id in run.ids] == later[deed], deed
    scene.assert_clean()
    assert "Worker exited prematurely" in scene.worker.logs() or "WorkerLostError" in scene.worker.logs()
