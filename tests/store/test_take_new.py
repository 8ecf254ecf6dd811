"""Take_new: what arrived meanwhile joins the running batch."""

import pytest

from store.scene import DEBOUNCE, Scene, ids


def test_what_arrived_joins(scene: Scene) -> None:
    """It is handled and counted with the batch."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.send("c")
    assert scene.take_new(claim) == ["b", "c"]
    assert scene.ack(claim).handled == 3
    assert scene.peek() is None


def test_what_joined_is_retried_with_the_batch(scene: Scene) -> None:
    """Same id, in send order."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.take_new(claim)
    scene.nack(claim)
    again = scene.claimed()
    assert (again.batch_id, ids(again.elements)) == (claim.batch_id, ["a", "b"])


def test_a_call_that_is_sent_twice_takes_once(scene: Scene) -> None:
    """The second reply is the first one's, though more has come."""
    claim = scene.open_batch("a")
    scene.send("b")
    assert scene.take_new(claim) == ["b"]
    scene.send("c")
    assert scene.take_new(claim, known=1) == ["b"]
    assert scene.take_new(claim, known=2) == ["c"]


def test_what_it_does_not_take_is_the_next_batch(scene: Scene) -> None:
    """Due by its own lull."""
    claim = scene.open_batch("a")
    assert scene.take_new(claim) == []
    scene.send("b")
    scene.ack(claim)
    assert scene.due_in() == DEBOUNCE


def test_a_command_is_a_barrier(scene: Scene) -> None:
    """Neither it nor what is behind it joins."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.command("stop")
    scene.send("c")
    assert scene.take_new(claim) == ["b"]
    assert scene.waiting() == ["stop", "c"]


def test_another_key_does_not_join(scene: Scene) -> None:
    """A batch has one key."""
    claim = scene.open_batch("a")
    scene.send("b", key="k2")
    assert scene.take_new(claim) == []


@pytest.mark.settings(max_batch=2)
def test_a_batch_grows_to_ten_times_its_size(scene: Scene) -> None:
    """At most ``max_batch`` a call."""
    claim = scene.open_batch("m0", "m1")
    for number in range(2, 30):
        scene.send(f"m{number}")
    known = 2
    while taken := scene.take_new(claim, known):
        assert len(taken) <= 2
        known += len(taken)
    assert known == 20


def test_a_stale_fence_takes_nothing(scene: Scene) -> None:
    """It is told that it is lost."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.wait(30_000)
    scene.reclaim()
    assert scene.take_new(claim) is None
    assert scene.waiting() == ["b"]


def test_a_command_takes_nothing(scene: Scene) -> None:
    """It is handled alone."""
    scene.command("stop")
    scene.send("a")
    assert scene.take_new(scene.claimed(kind="c")) == []
