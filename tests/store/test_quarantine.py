"""Elements that are not ours to read: corrupt ones are set aside, newer ones stay."""

import pytest

from celery_inbox.store.moves import MOST_CORRUPT
from store.scene import DEBOUNCE, Scene, element, ids

CORRUPT = [
    b"",
    b"hello",
    b"\xff\x00\x01",
    b"1 m a x 2 - id {}",
    b"1 q a 1 2 - id {}",
    b"1 m a 1 2 - id",
    b"one m a 1 2 - id {}",
]
NEWER = [b"2 anything at all", b"17 m a 1 2 - id {}", b"2 m a 1 2 - id {}"]


@pytest.mark.parametrize("bytes_", CORRUPT)
def test_a_corrupt_element_does_not_stop_its_session(scene: Scene, bytes_: bytes) -> None:
    """Set aside with its raw bytes; the neighbours are one batch."""
    scene.send("a")
    scene.plant(bytes_)
    scene.send("b", flush=True)
    assert ids(scene.claimed().elements) == ["a", "b"]
    assert scene.look().corrupt == (bytes_,)
    assert scene.count("quarantined") == 1


@pytest.mark.parametrize("bytes_", CORRUPT)
def test_a_corrupt_head_does_not_stop_its_session(scene: Scene, bytes_: bytes) -> None:
    """The first claim takes it out of the way."""
    scene.send("a")
    scene.plant(bytes_, head=True)
    scene.wait(DEBOUNCE)
    assert ids(scene.claimed().elements) == ["a"]
    assert scene.look().corrupt == (bytes_,)


def test_a_session_of_nothing_but_corrupt_elements_ends(scene: Scene) -> None:
    """No key of it remains, and the claim goes on to the next session."""
    claim = scene.open_batch("a", session="one")
    scene.send("lost", "one")
    scene.plant(b"junk", "one", head=True)
    scene.ack(claim)
    view = scene.peek("one")
    assert view is not None
    scene.wait(DEBOUNCE)
    assert ids(scene.claimed().elements) == ["lost"]


def test_many_corrupt_elements_are_taken_in_turns(scene: Scene) -> None:
    """A claim looks at a bounded number; the session stays due until it is clean."""
    scene.send("a", flush=True)
    for number in range(250):
        scene.plant(b"junk %d" % number, head=True)
    claims = [scene.claim() for _ in range(3)]
    found = [claim for claim in claims if claim]
    assert [ids(claim.elements) for claim in found] == [["a"]]
    assert scene.count("quarantined") == 250


def test_the_latest_quarantined_elements_are_kept(scene: Scene) -> None:
    """Promise 8: a thousand; the older ones make room and are counted."""
    scene.send("a", flush=True)
    for number in range(MOST_CORRUPT + 3):
        scene.plant(b"junk %d" % number)
    scene.send("b", flush=True)
    for _ in range(MOST_CORRUPT // 100):  # a claim looks at a bounded number
        if claim := scene.claim():
            scene.ack(claim)
    corrupt = scene.look().corrupt
    assert (len(corrupt), corrupt[0], corrupt[-1]) == (MOST_CORRUPT, b"junk 3", b"junk %d" % (MOST_CORRUPT + 2))
    assert (scene.count("quarantined"), scene.count("corrupt_evicted")) == (MOST_CORRUPT + 3, 3)


@pytest.mark.parametrize("bytes_", NEWER)
def test_a_newer_element_is_left_in_place(scene: Scene, bytes_: bytes) -> None:
    """The batch ends before it; what is behind it waits for a newer worker."""
    scene.send("a")
    scene.plant(bytes_)
    scene.send("b", flush=True)
    scene.ack(scene.claimed())
    assert scene.claim() is None
    view = scene.peek()
    assert view is not None
    assert view.elements[0] == bytes_
    assert view.waiting == 2
    assert scene.count("newer") == 1


def test_a_newer_head_is_looked_at_once_per_lease(scene: Scene) -> None:
    """Old workers of a rolling deploy do not spin on it, and other sessions go on."""
    scene.send("a", flush=True)
    scene.plant(b"2 from the future", head=True)
    scene.wait(1)
    scene.send("b", "other", flush=True)
    assert ids(scene.claimed().elements) == ["b"]
    assert scene.claim() is None
    assert scene.due_in() == 30_000
    scene.wait(30_000)
    assert scene.claim() is None
    assert scene.count("newer") == 2


def test_an_element_of_the_batch_can_be_set_aside(scene: Scene) -> None:
    """Its header was fine, its payload was not; the rest of the batch is handled."""
    claim = scene.open_batch("a", "b", "c")
    assert scene.quarantine(claim, claim.elements[1])
    assert scene.ack(claim).handled == 2
    assert scene.look().corrupt == (claim.elements[1],)
    assert (scene.count("quarantined"), scene.count("handled")) == (1, 2)


def test_an_element_is_set_aside_once(scene: Scene) -> None:
    """A repeated call finds nothing."""
    claim = scene.open_batch("a", "b")
    assert scene.quarantine(claim, claim.elements[0])
    assert not scene.quarantine(claim, claim.elements[0])
    assert scene.count("quarantined") == 1


def test_a_stale_fence_sets_nothing_aside(scene: Scene) -> None:
    """Only the holder may."""
    stale = scene.open_batch("a")
    scene.wait(30_000)
    scene.reclaim()
    assert not scene.quarantine(stale, stale.elements[0])
    scene.claimed()
    assert not scene.quarantine(stale, stale.elements[0])
    assert scene.look().corrupt == ()


def test_an_element_of_another_batch_is_not_set_aside(scene: Scene) -> None:
    """It is not in this one."""
    claim = scene.open_batch("a")
    assert not scene.quarantine(claim, element("b"))


def test_a_retry_comes_without_what_was_set_aside(scene: Scene) -> None:
    """Promise 4's one exception, by the worker's own call."""
    claim = scene.open_batch("a", "b")
    scene.quarantine(claim, claim.elements[0])
    scene.nack(claim)
    assert ids(scene.claimed().elements) == ["b"]
