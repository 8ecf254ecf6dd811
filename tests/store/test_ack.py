"""Ack: a batch was handled."""

import pytest

from store.scene import DEBOUNCE, Scene, ids


def test_a_handled_session_leaves_nothing(scene: Scene) -> None:
    """No record, no list, no set; the counters know."""
    settled = scene.ack(scene.open_batch("a", "b"))
    assert (settled.outcome, settled.handled, settled.next) == ("done", 2, None)
    assert scene.peek() is None
    assert scene.look().sessions == frozenset()
    assert (scene.count("accepted"), scene.count("handled")) == (2, 2)


def test_the_rest_is_armed(scene: Scene) -> None:
    """LOS-6: what arrived during the run needs no further push."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.ack(claim)
    scene.wait(DEBOUNCE)
    assert ids(scene.claimed().elements) == ["b"]


def test_a_repeated_ack_says_done(scene: Scene) -> None:
    """DUP-2: the reply was lost, the call comes again; handled is not counted twice."""
    claim = scene.open_batch("a")
    scene.send("b", flush=True)
    scene.ack(claim)
    before = scene.look()
    settled = scene.ack(claim)
    assert (settled.outcome, settled.handled) == ("done", 0)
    assert scene.look() == before


def test_a_settled_fence_is_remembered_for_five_minutes(scene: Scene) -> None:
    """Then nobody knows it."""
    claim = scene.open_batch("a")
    scene.ack(claim)
    scene.wait(299_999)
    assert scene.ack(claim).outcome == "done"
    scene.wait(1)
    assert scene.ack(claim).outcome == "lost"


def test_the_ack_of_a_stale_fence_changes_nothing(scene: Scene) -> None:
    """OVL-3, promise 3: once reclaimed it is told, and its ack changes nothing."""
    stale = scene.open_batch("a")
    scene.wait(30_000)
    scene.reclaim()
    before = scene.look()
    assert scene.ack(stale).outcome == "lost"
    assert scene.look() == before
    successor = scene.claimed()
    before = scene.look()
    assert scene.ack(stale).outcome == "lost"
    assert scene.look() == before
    assert scene.ack(successor).outcome == "done"


def test_time_alone_loses_no_lease(scene: Scene) -> None:
    """An ack after the lease's end counts while nobody reclaimed it."""
    claim = scene.open_batch("a")
    scene.wait(500_000)
    assert scene.ack(claim).outcome == "done"


def test_an_ack_can_claim_the_next_session(scene: Scene) -> None:
    """One call: settled, then the longest due of the partition."""
    claim = scene.open_batch("a", session="one")
    scene.send("b", "two", flush=True)
    following = scene.ack(claim, "token").next
    assert following is not None
    assert (following.address.session, following.attempt) == ("two", 1)


def test_an_ack_can_claim_its_own_rest(scene: Scene) -> None:
    """The session it has just settled is a session like any other."""
    claim = scene.open_batch("a")
    scene.send("b", flush=True)
    following = scene.ack(claim, "token").next
    assert following is not None
    assert ids(following.elements) == ["b"]


def test_an_ack_that_is_sent_twice_claims_once(scene: Scene) -> None:
    """The token finds the claim that the first call made."""
    claim = scene.open_batch("a", session="one")
    scene.send("b", "two", flush=True)
    scene.send("c", "three", flush=True)
    first = scene.ack(claim, "token")
    second = scene.ack(claim, "token")
    assert second.next == first.next
    assert second.outcome == "done"


def test_an_ack_that_is_lost_still_claims(scene: Scene) -> None:
    """The slot is free, whatever became of its last batch."""
    stale = scene.open_batch("a")
    scene.wait(30_000)
    scene.reclaim()
    settled = scene.ack(stale, "token")
    assert settled.outcome == "lost"
    assert settled.next is not None
    assert settled.next.attempt == 2


def test_an_ack_without_anything_due_claims_nothing(scene: Scene) -> None:
    """Not even what is due soon."""
    claim = scene.open_batch("a")
    scene.send("b")
    assert scene.ack(claim, "token").next is None


def test_the_ack_of_a_kind_claims_that_kind(scene: Scene) -> None:
    """A batch handler's slot takes no command."""
    claim = scene.open_batch("a")
    scene.command("stop")
    assert scene.ack(claim, "token", kind="m").next is None
    assert scene.claim(kind="c") is not None


def test_attempts_begin_anew_with_every_batch(scene: Scene) -> None:
    """The next batch does not inherit them."""
    claim = scene.open_batch("a")
    scene.send("b", flush=True)
    scene.nack(claim)
    following = scene.ack(scene.claimed(), "token").next
    assert following is not None
    assert following.attempt == 1
    assert following.batch_id != claim.batch_id


@pytest.mark.settings(max_batch=1)
def test_effects_land_in_send_order(scene: Scene) -> None:
    """Promise 2: batch n+1 starts after batch n was settled, whoever asks."""
    for id in "abc":
        scene.send(id, flush=True)
    seen = []
    for _ in range(3):
        claim = scene.claimed()
        assert scene.claim() is None
        seen += ids(claim.elements)
        scene.ack(claim)
    assert seen == ["a", "b", "c"]
