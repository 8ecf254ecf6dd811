"""A handler ends by an exception of any kind, and its process lives on or leaves in peace."""

import pytest

from crash.scene import BACKOFF, DISPATCH_INTERVAL, Scene, seconds_between

WITHIN = BACKOFF + DISPATCH_INTERVAL + 2.0
"""Seconds from the exception to the next attempt."""

ENDINGS = {
    "fail": "RuntimeError",
    "fail_unspeakably": "Unspeakable",
    "fail_beyond_utf8": "OSError",
    "leave": "SystemExit",
    "run_out_of_memory": "MemoryError",
    "interrupt": "KeyboardInterrupt",
    "wait": "SoftTimeLimitExceeded",
}


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    """A process for each ending, so that none waits for another."""
    return ("--pool", "prefork", "--concurrency", str(len(ENDINGS)))


@pytest.fixture
def settings() -> dict[str, int]:
    """A partition for each ending, or nearly."""
    return {"partitions": 16}


def test_a_batch_whose_handler_failed_is_tried_again_before_what_came_later(scene: Scene) -> None:
    """LOS-1, ORD-4, DUP-5: same id, same messages, next attempt, within the backoff, whatever was raised."""
    limited = scene.beside("limited")
    first, later = {}, {}
    for deed in ENDINGS:
        chosen = limited if deed == "wait" else scene
        ids = [chosen.send(deed, do=deed).id, *chosen.send_some(deed, 2)]
        first[deed] = ids
    for deed in ENDINGS:
        scene.wait_for_runs(deed, 1)
        chosen = limited if deed == "wait" else scene
        later[deed] = chosen.send_some(deed, 2)
    for deed, error in ENDINGS.items():
        chosen = limited if deed == "wait" else scene
        chosen.wait_for_handled(deed, first[deed] + later[deed])
        failed, again, *rest = scene.runs(deed)
        assert failed.end is not None, deed
        assert (failed.end.outcome, failed.end.error) == ("error", error), deed
        assert list(failed.ids) == first[deed] == list(again.ids), deed
        assert again.start.batch == failed.start.batch, deed
        assert (failed.start.attempt, again.start.attempt) == (1, 2), deed
        assert again.start.fence > failed.start.fence, deed
        assert BACKOFF / 2 <= seconds_between(failed.end.at, again.start.at) <= WITHIN, deed
        assert [id for run in rest for id in run.ids] == later[deed], deed
    assert "without its holder" not in scene.worker.logs()
    scene.assert_clean()
    limited.assert_clean()
