"""Release: a batch is given back unconsumed."""

from store.scene import Scene


def test_a_released_batch_is_due_at_once(scene: Scene) -> None:
    """Same id, same messages."""
    claim = scene.open_batch("a", "b")
    assert scene.release(claim).outcome == "done"
    again = scene.claimed()
    assert (again.batch_id, again.elements) == (claim.batch_id, claim.elements)


def test_a_release_does_not_count_as_an_attempt(scene: Scene) -> None:
    """Deploys never eat attempts: the next try has the same number."""
    claim = scene.open_batch("a", max_attempts=2)
    for _ in range(5):
        assert claim.attempt == 1
        scene.release(claim)
        claim = scene.claimed(max_attempts=2)
    scene.nack(claim)
    claim = scene.claimed(max_attempts=2)
    assert claim.attempt == 2
    scene.release(claim)
    assert scene.claimed(max_attempts=2).attempt == 2


def test_a_released_batch_takes_no_newer_messages_along(scene: Scene) -> None:
    """Release keeps the messages."""
    claim = scene.open_batch("a")
    scene.send("b", flush=True)
    scene.release(claim)
    assert scene.claimed().elements == claim.elements


def test_a_repeated_release_says_done(scene: Scene) -> None:
    """And gives back nothing that its successor holds."""
    claim = scene.open_batch("a")
    scene.release(claim)
    scene.claimed()
    before = scene.look()
    assert scene.release(claim).outcome == "done"
    assert scene.look() == before


def test_the_release_of_a_stale_fence_changes_nothing(scene: Scene) -> None:
    """Its successor keeps the batch."""
    stale = scene.open_batch("a")
    scene.wait(30_000)
    scene.reclaim()
    scene.claimed()
    before = scene.look()
    assert scene.release(stale).outcome == "lost"
    assert scene.look() == before
