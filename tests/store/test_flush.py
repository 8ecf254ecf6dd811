"""Flush: what waits is due now."""

from store.scene import DEBOUNCE, Scene, ids


def test_what_waits_is_due_now(scene: Scene) -> None:
    """WAITING: due now."""
    scene.send("a")
    scene.send("b")
    assert scene.flush() == 2
    assert scene.due_in() == 0


def test_nobody_has_nothing_to_flush(scene: Scene) -> None:
    """No key is made."""
    assert scene.flush() == 0
    assert scene.peek() is None


def test_during_a_run_the_rest_is_marked(scene: Scene) -> None:
    """CLAIMED: due as soon as the batch is settled; what comes later is not."""
    claim = scene.open_batch("a")
    scene.send("b")
    assert scene.flush() == 1
    scene.ack(claim)
    assert ids(scene.claimed().elements) == ["b"]
    scene.send("c")
    assert scene.claim() is None


def test_a_batch_in_backoff_is_tried_now(scene: Scene) -> None:
    """BACKOFF: retry now."""
    scene.nack(scene.open_batch("a"), delay=60_000)
    assert scene.flush() == 1
    assert scene.claimed().attempt == 2


def test_a_stopped_session_is_flushed_when_it_goes_on(scene: Scene) -> None:
    """STOPPED: at resume."""
    scene.send("a")
    scene.pause()
    scene.flush()
    assert scene.claim() is None
    scene.resume()
    assert scene.due_in() == 0


def test_a_flush_is_used_up(scene: Scene) -> None:
    """The next message waits for its own lull."""
    scene.send("a")
    scene.flush()
    scene.ack(scene.claimed())
    scene.send("b")
    assert scene.due_in() == DEBOUNCE
