"""Cancel: the current run, or the batch that waits for its next attempt."""

from store.scene import DEBOUNCE, Scene, ids


def test_a_running_batch_is_marked(scene: Scene) -> None:
    """Its holder sees it; nothing else changes until it settles."""
    claim = scene.open_batch("a")
    assert scene.store.standing(claim) == "held"
    assert scene.cancel() == "marked"
    assert scene.store.standing(claim) == "cancelled"
    assert scene.cancel(claim=claim) == "done"
    assert scene.count("cancelled") == 1
    assert scene.peek() is None


def test_the_mark_is_for_the_current_fence_only(scene: Scene) -> None:
    """The next attempt is not cancelled."""
    scene.open_batch("a")
    scene.cancel()
    scene.wait(30_000)
    scene.reclaim()
    assert scene.store.standing(scene.claimed()) == "held"


def test_a_handler_that_returns_normally_has_handled(scene: Scene) -> None:
    """Ack wins over the mark."""
    claim = scene.open_batch("a")
    scene.cancel()
    assert scene.ack(claim).handled == 1
    assert scene.count("cancelled") == 0


def test_nothing_runs_nothing_is_cancelled(scene: Scene) -> None:
    """WAITING: no; messages that wait stay."""
    assert scene.cancel() == "nothing"
    scene.send("a")
    assert scene.cancel() == "nothing"
    assert scene.waiting() == ["a"]


def test_a_batch_in_backoff_is_settled(scene: Scene) -> None:
    """BACKOFF: the open batch goes, what waits comes."""
    scene.nack(scene.open_batch("a"), delay=60_000)
    scene.send("b", flush=True)
    assert scene.cancel() == "done"
    assert ids(scene.claimed().elements) == ["b"]


def test_rejoin_returns_the_messages(scene: Scene) -> None:
    """As ordinary waiting ones in front, so that the next message joins them."""
    claim = scene.open_batch("a", "b", on_cancel="rejoin")
    scene.wait(500)
    scene.send("c")
    scene.cancel()
    assert scene.cancel(claim=claim) == "done"
    assert scene.waiting() == ["a", "b", "c"]
    assert scene.due_in() == DEBOUNCE
    scene.wait(DEBOUNCE)
    again = scene.claimed()
    assert (ids(again.elements), again.attempt) == (["a", "b", "c"], 1)
    assert again.batch_id != claim.batch_id


def test_a_batch_that_was_emptied_by_quarantine_can_rejoin(scene: Scene) -> None:
    """There is nothing to return, and the session ends."""
    claim = scene.open_batch("a", on_cancel="rejoin")
    scene.quarantine(claim, claim.elements[0])
    assert scene.cancel(claim=claim) == "done"
    assert scene.peek() is None


def test_settling_twice_says_done(scene: Scene) -> None:
    """The reply was lost; its successor is not cancelled."""
    claim = scene.open_batch("a", on_cancel="rejoin")
    scene.cancel(claim=claim)
    scene.flush()
    scene.claimed()
    before = scene.look()
    assert scene.cancel(claim=claim) == "done"
    assert scene.look() == before


def test_a_stale_fence_is_lost(scene: Scene) -> None:
    """It cancels nobody."""
    claim = scene.open_batch("a")
    scene.wait(30_000)
    scene.reclaim()
    scene.claimed()
    assert scene.store.standing(claim) == "lost"
    assert scene.cancel(claim=claim) == "lost"
