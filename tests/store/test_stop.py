"""Stop: a worker was told to stop."""

import pytest

from store.scene import Scene


def test_a_stopping_worker_claims_nothing(scene: Scene) -> None:
    """What is due goes to others."""
    scene.send("a", flush=True)
    scene.stop("w1")
    assert scene.claim(worker="w1") is None
    assert scene.claim(worker="w2") is not None


def test_a_stopping_worker_still_gets_the_claim_it_made(scene: Scene) -> None:
    """The reply was lost, the call comes again: the batch must not be orphaned."""
    scene.send("a", flush=True)
    claim = scene.claimed("token", worker="w1")
    scene.stop("w1")
    assert scene.claim("token", worker="w1") == claim


def test_a_stopping_worker_finishes_its_batch(scene: Scene) -> None:
    """Warm shutdown: renew and ack are accepted, the ack claims nothing more."""
    claim = scene.open_batch("a", worker="w1")
    scene.send("b", flush=True)
    scene.stop("w1")
    assert scene.renew(claim)
    settled = scene.ack(claim, "token", worker="w1")
    assert (settled.outcome, settled.next) == ("done", None)


def test_stopping_twice_is_stopping(scene: Scene) -> None:
    """SIGTERM comes in pairs."""
    scene.stop("w1")
    scene.stop("w1")
    scene.send("a", flush=True)
    assert scene.claim(worker="w1") is None


@pytest.mark.settings(max_run=60)
def test_a_stopped_worker_is_forgotten_when_none_of_its_runs_can_last(scene: Scene) -> None:
    """Twice ``max_run``; the list of stopped workers does not grow for ever."""
    scene.stop("w1")
    scene.wait(120_001)
    scene.stop("w2")
    scene.send("a", flush=True)
    assert scene.claim(worker="w1") is not None


def test_stop_speaks_to_the_named_partitions(scene: Scene) -> None:
    """A worker that hands over some partitions goes on in the others."""
    scene.store.stop(["1", "2"], "w1", scene.now)
    scene.send("a", flush=True)
    assert scene.claim(worker="w1") is not None
