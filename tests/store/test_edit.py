"""Drop, remove, replace, forget, purge: what people take out or change."""

import pytest

from celery_inbox.element import unpack
from celery_inbox.store.keys import command_address
from store.scene import DEBOUNCE, MAX_WAIT, Scene, ids


def dropped(scene: Scene, page: int = 100) -> list[list[str]]:
    pages = []
    while found := scene.store.dropped("0", "ticket", page):
        pages.append(ids(found))
    return pages


def test_drop_returns_what_it_removed_in_pages(scene: Scene) -> None:
    """In send order, each page once."""
    for id in "abcde":
        scene.send(id)
    assert scene.drop() == 5
    assert scene.peek() is None
    assert dropped(scene, page=2) == [["a", "b"], ["c", "d"], ["e"]]
    assert scene.count("dropped") == 5


def test_a_drop_that_is_sent_twice_is_one(scene: Scene) -> None:
    """Same ticket, same reply; what came in between stays."""
    scene.send("a")
    assert scene.drop() == 1
    scene.send("b")
    assert scene.drop() == 1
    assert scene.waiting() == ["b"]


def test_drop_leaves_a_running_batch_to_its_holder(scene: Scene) -> None:
    """CLAIMED: the waiting list."""
    claim = scene.open_batch("a")
    scene.send("b")
    assert scene.drop() == 1
    assert scene.ack(claim).handled == 1


def test_drop_takes_a_batch_in_backoff(scene: Scene) -> None:
    """BACKOFF: waiting and open batch, the open batch first."""
    scene.nack(scene.open_batch("a", "b"))
    scene.send("c")
    assert scene.drop() == 3
    assert dropped(scene) == [["a", "b", "c"]]
    assert scene.peek() is None


def test_dropping_nobody_is_nothing(scene: Scene) -> None:
    """No key is made."""
    assert scene.drop() == 0
    assert dropped(scene) == []


def test_a_waiting_message_is_removed(scene: Scene) -> None:
    """Its neighbours keep their order; it is counted."""
    for id in "abc":
        scene.send(id)
    assert scene.remove("b")
    assert scene.waiting() == ["a", "c"]
    assert not scene.remove("b")
    assert scene.count("removed") == 1


def test_the_last_message_is_removed_with_its_session(scene: Scene) -> None:
    """No key remains."""
    scene.send("a")
    assert scene.remove("a")
    assert scene.peek() is None


def test_too_late_to_remove_or_replace(scene: Scene) -> None:
    """What runs, was handled, or never came."""
    claim = scene.open_batch("a")
    for _ in range(2):
        assert not scene.remove("a")
        assert scene.replace("a") == "late"
        assert not scene.remove("nobody")
        scene.ack(claim)


def test_removing_makes_no_batch_later(scene: Scene) -> None:
    """The deadline stays that of the removed message."""
    scene.send("a", active=False)
    scene.wait(4_000)
    scene.send("b", active=False)
    scene.remove("a")
    assert scene.due_in() == MAX_WAIT - 4_000


@pytest.mark.settings(max_batch=2)
def test_a_full_batch_that_loses_a_message_stays_due(scene: Scene) -> None:
    """Due now stays due."""
    scene.send("a")
    scene.send("b")
    scene.remove("a")
    assert scene.due_in() == 0


def test_a_replaced_message_keeps_id_place_and_arrival(scene: Scene) -> None:
    """Only its body is new; due_at does not move."""
    for id in "abc":
        scene.send(id)
    scene.wait(300)
    assert scene.replace("b", payload=b'"edited"') == "replaced"
    assert scene.waiting() == ["a", "b", "c"]
    assert scene.due_in() == DEBOUNCE - 300
    header, payload = unpack(scene.peek().elements[1])  # type: ignore[union-attr]
    assert (header.at, header.size, payload) == (scene.now - 300, 8, b'"edited"')
    assert scene.count("accepted") == 3


@pytest.mark.settings(max_pending_bytes=100, max_message_bytes=100)
def test_a_body_for_which_there_is_no_room_is_refused(scene: Scene) -> None:
    """The old one stays."""
    scene.send("a", payload=b"x" * 50)
    scene.send("b", payload=b"x" * 50)
    assert scene.replace("a", payload=b"x" * 51) == "full"
    assert unpack(scene.peek().elements[0])[0].size == 50  # type: ignore[union-attr]


def test_forget_deletes_everything_about_a_session(scene: Scene) -> None:
    """Messages, dead letters, remembered ids, the pause; a running batch is lost to its holder."""
    scene.bury("dead1", "dead2")
    claim = scene.open_batch("a")
    scene.send("b")
    scene.pause()
    assert scene.forget() == (2, 2)
    assert (scene.peek(), scene.letters()) == (None, [])
    assert scene.ack(claim).outcome == "lost"
    assert scene.send("a", flush=True).status == "accepted"
    assert scene.claim() is not None


def test_forget_leaves_other_sessions_alone(scene: Scene) -> None:
    """Their messages stay."""
    scene.send("a", "one")
    scene.send("a", "two")
    assert scene.forget("one") == (1, 0)
    assert scene.waiting("two") == ["a"]


def test_forget_finds_the_commands_of_a_session(scene: Scene) -> None:
    """Each is a session of its own: dead, running, waiting for its next attempt, waiting; those of others stay."""
    store, now, plan = scene.store, scene.now, scene.plan("c")

    def send(session: str, id: str) -> None:
        store.send(scene.outgoing(id, session, kind="c")._replace(address=command_address(session, id)), now)

    for id in "abcd":
        send("one", id)
    claims = [store.claim("command", f"token-{number}", plan, "", now) for number in range(3)]
    dead, running, failed = [claim for claim in claims if claim]
    assert store.nack(dead, -1, "", "", now).outcome == "dead"
    assert store.nack(failed, 1000, "", "", now).outcome == "retry"
    send("two", "a")
    assert store.forget("command", "one", "", now) == (3, 1)
    assert [listed.session for listed in store.sessions("command")] == ["two"]
    assert store.ack(running, "", None, now).outcome == "lost"
    assert store.forget("command", "two", "", now) == (1, 0)


def test_a_purged_letter_is_gone(scene: Scene) -> None:
    """Once, with the count of its messages; it stays counted as dead."""
    letter = scene.bury("a", "b")
    assert scene.store.purge("0", letter.id) == 2
    assert scene.store.purge("0", letter.id) == 0
    assert (scene.letters(), scene.redrive(letter), scene.count("dead")) == ([], 0, 2)


def test_sessions_are_listed_due_first_then_running_then_stopped(scene: Scene) -> None:
    """In pages; each with what it holds."""
    scene.send("a", "late")
    scene.open_batch("a", "b", session="running")
    scene.send("c", "running")
    scene.send("a", "early", debounce=100)
    scene.send("a", "paused")
    scene.pause("paused")
    listed = scene.store.sessions("0", 0, 10)
    assert [(each.session, each.state, each.waiting, each.open) for each in listed] == [
        ("early", "due", 1, 0),
        ("late", "due", 1, 0),
        ("running", "running", 1, 2),
        ("paused", "stopped", 1, 0),
    ]
    assert [each for first in range(5) for each in scene.store.sessions("0", first, 1)] == listed
