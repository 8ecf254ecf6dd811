"""Nack: a batch failed."""

import pytest

from store.scene import T0, Scene, ids


def test_a_failed_batch_is_tried_again_after_the_delay(scene: Scene) -> None:
    """BACKOFF: an open batch without a lease, due at retry_at."""
    settled = scene.nack(scene.open_batch("a"), delay=4_000)
    assert (settled.outcome, settled.retry_at) == ("retry", T0 + 4_000)
    assert scene.due_in() == 4_000
    scene.wait(3_999)
    assert scene.claim() is None
    scene.wait(1)
    assert scene.claimed().attempt == 2


def test_attempts_are_counted_by_claims_up_to_max_attempts(scene: Scene) -> None:
    """Three attempts: 1, 2, 3, then dead."""
    claim = scene.open_batch("a", max_attempts=3)
    outcomes = [scene.nack(claim).outcome]
    for attempt in (2, 3):
        claim = scene.claimed(max_attempts=3)
        assert claim.attempt == attempt
        outcomes.append(scene.nack(claim).outcome)
    assert outcomes == ["retry", "retry", "dead"]
    assert scene.claim() is None


def test_a_dead_batch_is_set_aside_with_all_that_is_known(scene: Scene) -> None:
    """Reason, traceback, attempts, messages under the batch's own id."""
    claim = scene.open_batch("a", "b", max_attempts=1)
    scene.wait(100)
    settled = scene.nack(claim, 0, "KeyError('x')", "Traceback ...")
    assert (settled.outcome, settled.dead_id, settled.evicted) == ("dead", claim.batch_id, ())
    (letter,) = scene.letters()
    assert (letter.id, letter.session, letter.at, letter.attempts) == (claim.batch_id, "s", T0 + 100, 1)
    assert (letter.reason, letter.traceback, letter.kind) == ("KeyError('x')", "Traceback ...", "m")
    assert letter.elements == claim.elements
    assert scene.count("dead") == 2


def test_a_dead_batch_lets_its_session_go_on(scene: Scene) -> None:
    """STK-5: a poison message does not block those behind it."""
    claim = scene.open_batch("poison", max_attempts=1)
    scene.send("good", flush=True)
    scene.nack(claim)
    following = scene.claimed()
    assert (ids(following.elements), following.attempt) == (["good"], 1)


def test_a_negative_delay_allows_no_further_attempt(scene: Scene) -> None:
    """``Reject``: dead letter now."""
    assert scene.nack(scene.open_batch("a", max_attempts=5), delay=-1).outcome == "dead"


def test_a_repeated_nack_says_done(scene: Scene) -> None:
    """The second call neither counts nor buries."""
    claim = scene.open_batch("a")
    scene.nack(claim, delay=1_000)
    before = scene.look()
    assert scene.nack(claim, delay=-1).outcome == "done"
    assert scene.look() == before


def test_the_nack_of_a_stale_fence_changes_nothing(scene: Scene) -> None:
    """It fails no batch of its successor."""
    stale = scene.open_batch("a")
    scene.wait(30_000)
    scene.reclaim()
    scene.claimed()
    before = scene.look()
    assert scene.nack(stale, delay=-1).outcome == "lost"
    assert scene.look() == before


@pytest.mark.settings(max_dead=2)
def test_the_oldest_dead_letters_make_room(scene: Scene) -> None:
    """``max_dead``: the reply names them, the counter has their messages."""
    ids_of_letters = []
    for session in ("one", "two", "three"):
        claim = scene.open_batch("a", "b", session=session)
        settled = scene.nack(claim, delay=-1)
        ids_of_letters.append(claim.batch_id)
        scene.wait(1)
    assert settled.evicted == (ids_of_letters[0],)
    assert [letter.id for letter in scene.letters()] == ids_of_letters[1:]
    assert scene.count("dead_evicted") == 2


def test_max_attempts_is_what_the_claim_said(scene: Scene) -> None:
    """A deploy that lowers it takes effect with the next claim."""
    scene.nack(scene.open_batch("a", max_attempts=5))
    assert scene.nack(scene.claimed(max_attempts=2)).outcome == "dead"


def test_a_batch_that_was_emptied_by_quarantine_leaves_no_dead_letter(scene: Scene) -> None:
    """All its elements are set aside already; the session goes on."""
    claim = scene.open_batch("a", max_attempts=1)
    assert scene.quarantine(claim, claim.elements[0])
    scene.send("b", flush=True)
    assert scene.nack(claim).outcome == "done"
    assert scene.letters() == []
    assert ids(scene.claimed().elements) == ["b"]
