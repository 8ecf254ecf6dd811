"""Renew: the fence counts, not the time."""

from store.scene import Scene


def test_renewing_moves_the_end_of_the_lease(scene: Scene) -> None:
    """A lease from now."""
    claim = scene.open_batch("a")
    scene.wait(10_000)
    assert scene.renew(claim)
    assert list(scene.look().leased.values()) == [scene.now + 30_000]


def test_a_lease_that_is_over_can_be_renewed_until_somebody_reclaims_it(scene: Scene) -> None:
    """Section 4: time is not compared."""
    claim = scene.open_batch("a")
    scene.wait(500_000)
    assert scene.renew(claim)
    assert scene.reclaim() == []


def test_a_stale_fence_is_told_that_it_is_lost(scene: Scene) -> None:
    """OVL-3: after reclaim, while waiting and while its successor runs."""
    stale = scene.open_batch("a")
    scene.wait(30_000)
    scene.reclaim()
    before = scene.look()
    assert not scene.renew(stale)
    assert scene.look() == before
    successor = scene.claimed()
    assert not scene.renew(stale)
    assert scene.renew(successor)


def test_a_settled_batch_cannot_be_renewed(scene: Scene) -> None:
    """Nothing comes back to life, in particular no key of the session."""
    claim = scene.open_batch("a")
    scene.ack(claim)
    assert not scene.renew(claim)
    assert scene.look().sessions == frozenset()


def test_renewing_keeps_attempt_and_fence(scene: Scene) -> None:
    """Nothing else moves."""
    claim = scene.open_batch("a")
    scene.renew(claim)
    view = scene.peek()
    assert view is not None
    assert (view.attempt, view.fence) == (1, claim.fence)
