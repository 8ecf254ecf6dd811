"""The last attempt failed: park is the default, hold and isolate are the others."""

from store.scene import Scene, ids


def test_hold_stops_the_session(scene: Scene) -> None:
    """Nothing of it runs, messages collect, no dead letter is made."""
    assert scene.nack(scene.open_batch("a", max_attempts=1, on_exhausted="hold")).outcome == "held"
    scene.send("b", flush=True)
    scene.wait(1_000_000)
    assert scene.dispatch().kicks == ()
    assert scene.claim() is None
    assert (scene.letters(), scene.stats().stopped) == ([], 1)


def test_a_held_batch_gets_all_its_attempts_again(scene: Scene) -> None:
    """Resume: the same batch, attempt 1."""
    claim = scene.open_batch("a", max_attempts=1, on_exhausted="hold")
    scene.nack(claim)
    assert scene.resume()
    again = scene.claimed()
    assert (again.batch_id, again.attempt, again.elements) == (claim.batch_id, 1, claim.elements)


def test_a_held_session_goes_on_after_drop(scene: Scene) -> None:
    """The batch goes with what waits; the next message is handled."""
    scene.nack(scene.open_batch("a", max_attempts=1, on_exhausted="hold"))
    scene.send("b")
    assert scene.drop() == 2
    assert scene.peek() is None
    scene.send("c", flush=True)
    assert ids(scene.claimed().elements) == ["c"]


def test_a_crash_holds_too(scene: Scene) -> None:
    """Reclaim knows what the claim said."""
    scene.open_batch("a", max_attempts=1, on_exhausted="hold")
    scene.wait(30_000)
    assert [told.outcome for told in scene.reclaim()] == ["held"]
    assert scene.claim() is None


def test_isolate_tries_the_messages_one_by_one(scene: Scene) -> None:
    """In place, in order, one try each: one bad message does not take its neighbours along."""
    claim = scene.open_batch("a", "bad", "c", max_attempts=1, on_exhausted="isolate")
    scene.send("later", flush=True)
    assert scene.nack(claim).outcome == "isolated"
    seen = []
    for _ in range(4):
        one = scene.claimed(max_attempts=5, on_exhausted="isolate")
        seen.append((ids(one.elements), one.batch_id.removeprefix(claim.batch_id)))
        outcome = scene.nack(one).outcome if ids(one.elements) == ["bad"] else scene.ack(one).outcome
        assert outcome == ("dead" if ids(one.elements) == ["bad"] else "done")
    assert [found for found, _ in seen] == [["a"], ["bad"], ["c"], ["later"]]
    assert [name for _, name in seen[:3]] == ["/1", "/2", "/3"]
    (letter,) = scene.letters()
    assert ids(letter.elements) == ["bad"]


def test_isolating_a_single_message_is_burying_it(scene: Scene) -> None:
    """There is no neighbour to save."""
    assert scene.nack(scene.open_batch("a", max_attempts=1, on_exhausted="isolate")).outcome == "dead"


def test_a_crash_isolates_too(scene: Scene) -> None:
    """The poison that kills its worker is found."""
    scene.open_batch("a", "b", max_attempts=1, on_exhausted="isolate")
    scene.wait(30_000)
    assert [told.outcome for told in scene.reclaim()] == ["isolated"]
    assert ids(scene.claimed().elements) == ["a"]


def test_reject_parks_whatever_the_policy(scene: Scene) -> None:
    """A negative delay is a dead letter now."""
    for policy in ("hold", "isolate"):
        claim = scene.open_batch("a", "b", session=policy, on_exhausted=policy)
        assert scene.nack(claim, delay=-1).outcome == "dead"


def test_a_redriven_letter_of_an_isolated_message_is_tried_as_a_new_batch(scene: Scene) -> None:
    """Its old name and its single try are behind it."""
    claim = scene.open_batch("a", "b", max_attempts=1, on_exhausted="isolate")
    scene.nack(claim)
    scene.nack(scene.claimed())
    scene.ack(scene.claimed())
    (letter,) = scene.letters()
    scene.redrive(letter)
    again = scene.claimed(max_attempts=3)
    assert "/" not in again.batch_id
    assert scene.nack(again).outcome == "retry"
