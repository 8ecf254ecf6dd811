"""Dead letters: listed, and brought back."""

import pytest

from celery_inbox.element import unpack
from store.scene import MAX_WAIT, Scene, ids


def test_letters_are_listed_oldest_first_in_pages(scene: Scene) -> None:
    """First and last are indexes, both included."""
    buried = []
    for session in ("one", "two", "three"):
        buried.append(scene.bury("a", session=session).id)
        scene.wait(1)
    assert [letter.id for letter in scene.letters()] == buried
    assert [letter.id for letter in scene.letters(1, 1)] == [buried[1]]
    assert [letter.id for letter in scene.letters(1, -1)] == buried[1:]
    assert scene.letters(3, 9) == []


def test_a_redriven_letter_is_due_at_once(scene: Scene) -> None:
    """As a batch of its own with a new id and attempt 1."""
    letter = scene.bury("a", "b")
    scene.wait(60_000)
    assert scene.redrive(letter) == 2
    assert scene.letters() == []
    assert scene.due_in() == 0
    claim = scene.claimed()
    assert (ids(claim.elements), claim.attempt) == (["a", "b"], 1)
    assert claim.batch_id != letter.id
    scene.ack(claim)
    assert (scene.count("dead"), scene.count("handled")) == (0, 2)


def test_a_redriven_letter_goes_to_the_end_of_its_session(scene: Scene) -> None:
    """Behind what waits, before what comes; it closes the batch before it and merges with none."""
    letter = scene.bury("a", "b")
    scene.send("c")
    scene.redrive(letter)
    scene.send("d")
    assert scene.due_in() == 0
    seen = []
    for _ in range(2):
        claim = scene.claimed()
        seen.append(ids(claim.elements))
        scene.ack(claim)
    assert seen == [["c"], ["a", "b"]]
    assert scene.due_in() == 1_000


def test_two_redriven_letters_stay_two_batches(scene: Scene) -> None:
    """Neighbours, but not one batch."""
    letters = [scene.bury("a"), scene.bury("b")]
    for letter in letters:
        scene.redrive(letter)
    first = scene.claimed()
    assert ids(first.elements) == ["a"]
    second = scene.ack(first, "token").next
    assert second is not None
    assert ids(second.elements) == ["b"]


def test_a_redriven_message_keeps_arrival_and_payload(scene: Scene) -> None:
    """Only its flags and its key are new."""
    letter = scene.bury("a")
    scene.wait(5_000)
    scene.redrive(letter)
    (before,), (after,) = letter.elements, scene.claimed().elements
    (old, payload), (new, same_payload) = unpack(before), unpack(after)
    assert (new.at, new.id, new.size, same_payload) == (old.at, old.id, old.size, payload)
    assert (new.redriven, new.active) == (True, True)


def test_a_letter_is_redriven_once(scene: Scene) -> None:
    """Two people press the button: one of them moves it."""
    letter = scene.bury("a")
    assert scene.redrive(letter) == 1
    assert scene.redrive(letter) == 0
    assert scene.look().waiting.popitem()[1].__len__() == 1


def test_a_letter_is_redriven_behind_a_running_batch(scene: Scene) -> None:
    """It does not join, and it is due when the run is settled."""
    letter = scene.bury("a")
    claim = scene.open_batch("b")
    assert scene.redrive(letter) == 1
    assert scene.claim() is None
    scene.ack(claim)
    assert ids(scene.claimed().elements) == ["a"]


def test_a_redriven_letter_may_die_again(scene: Scene) -> None:
    """Under its new id, with nothing lost or doubled."""
    letter = scene.bury("a")
    scene.redrive(letter)
    dead_id = scene.nack(scene.claimed(), delay=-1).dead_id
    (again,) = scene.letters()
    assert again.id == dead_id != letter.id
    assert scene.redrive(again) == 1
    assert ids(scene.claimed().elements) == ["a"]


def test_a_redriven_command_is_a_command(scene: Scene) -> None:
    """Its kind goes with it."""
    scene.command("stop")
    scene.nack(scene.claimed(kind="c"), delay=-1)
    (letter,) = scene.letters()
    assert letter.kind == "c"
    scene.redrive(letter)
    assert scene.claim(kind="m") is None
    assert ids(scene.claimed(kind="c").elements) == ["stop"]


@pytest.mark.settings(max_dead=1)
def test_an_evicted_letter_cannot_be_redriven(scene: Scene) -> None:
    """It is gone, and counted as gone."""
    letter = scene.bury("a")
    scene.wait(1)
    scene.bury("b")
    assert scene.redrive(letter) == 0
    assert scene.peek() is None


def test_what_follows_a_redriven_batch_waits_for_its_own_deadline(scene: Scene) -> None:
    """The old arrival of the redriven messages hastens nobody else."""
    letter = scene.bury("a")
    scene.wait(60_000)
    scene.redrive(letter)
    scene.send("b", active=False)
    scene.ack(scene.claimed())
    assert scene.due_in() == MAX_WAIT
