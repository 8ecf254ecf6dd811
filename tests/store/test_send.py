"""Send: what it stores, what it refuses, when the batch is due."""

import pytest

from celery_inbox.element import unpack
from store.scene import DEBOUNCE, MAX_WAIT, T0, Scene, ids
from store.snapshot import snapshot


def test_a_message_is_stored_at_the_end_of_its_session(scene: Scene) -> None:
    """The list is in the order of the calls, and the header carries what was sent."""
    for id in ("a", "b", "c"):
        assert scene.send(id, payload=b'"hi"').status == "accepted"
    view = scene.peek()
    assert view is not None
    assert ids(view.elements) == ["a", "b", "c"]
    header, payload = unpack(view.elements[0])
    assert (header.at, header.size, header.active, payload) == (T0, 4, True, b'"hi"')


def test_the_reply_says_how_much_waits(scene: Scene) -> None:
    """Count and bytes are those after the call."""
    scene.send("a", payload=b"12345")
    sent = scene.send("b", payload=b"123")
    assert (sent.waiting, sent.waiting_bytes, sent.due_at) == (2, 8, T0 + DEBOUNCE)


def test_a_send_to_a_claimed_session_only_appends(scene: Scene) -> None:
    """Section 4, column CLAIMED: no due_at, the open batch keeps its messages."""
    claim = scene.open_batch("a")
    sent = scene.send("b", flush=True)
    assert (sent.status, sent.due_at, sent.waiting) == ("accepted", None, 1)
    assert scene.claim() is None
    view = scene.peek()
    assert view is not None
    assert ids(view.batch) == ["a"]
    assert ids(view.elements) == ["b"]
    assert claim.elements == view.batch


def test_a_send_to_a_session_in_backoff_does_not_hasten_the_retry(scene: Scene) -> None:
    """Section 4, column BACKOFF: the batch is retried when it was to be, without the newcomer."""
    scene.nack(scene.open_batch("a"), delay=5_000)
    sent = scene.send("b", flush=True)
    assert sent.due_at == T0 + 5_000
    assert scene.claim() is None
    scene.wait(5_000)
    assert ids(scene.claimed().elements) == ["a"]


def test_sessions_do_not_meet(scene: Scene) -> None:
    """Same ids in two sessions are two messages."""
    assert scene.send("a", "one").status == "accepted"
    assert scene.send("a", "two").status == "accepted"
    assert len(scene.look().due) == 2


@pytest.mark.settings(max_pending=2, max_batch=2)
def test_a_full_session_refuses_without_a_trace(scene: Scene) -> None:
    """Status ``full``: nothing stored, nothing counted, the id is free for a later try."""
    scene.send("a")
    scene.send("b")
    before = scene.look()
    sent = scene.send("c")
    assert (sent.status, sent.waiting) == ("full", 2)
    assert scene.look() == before
    scene.ack(scene.claimed())
    assert scene.send("c").status == "accepted"


@pytest.mark.settings(max_pending_bytes=100, max_message_bytes=100)
def test_a_session_is_full_by_bytes_too(scene: Scene) -> None:
    """``max_pending_bytes`` counts payloads; exactly the limit still fits."""
    assert scene.send("a", payload=b"x" * 60).status == "accepted"
    assert scene.send("b", payload=b"x" * 41).status == "full"
    assert scene.send("c", payload=b"x" * 40).status == "accepted"


@pytest.mark.settings(max_pending=2, max_batch=2)
def test_the_open_batch_takes_no_room(scene: Scene) -> None:
    """``max_pending`` is a limit on waiting messages."""
    scene.open_batch("a", "b")
    assert [scene.send(id).status for id in "cde"] == ["accepted", "accepted", "full"]


@pytest.mark.settings(max_pending=3, max_batch=3, overflow="drop_oldest")
def test_drop_oldest_makes_room_and_names_what_went(scene: Scene) -> None:
    """The ids are in the reply, the counter knows them, the order of the rest stays."""
    for id in "abc":
        scene.send(id)
    sent = scene.send("d")
    assert (sent.status, sent.dropped, sent.waiting) == ("accepted", ("a",), 3)
    assert scene.count("dropped") == 1
    assert ids(scene.claimed().elements) == ["b", "c", "d"]


@pytest.mark.settings(max_pending_bytes=100, max_message_bytes=100, overflow="drop_oldest")
def test_drop_oldest_drops_as_many_as_the_bytes_ask_for(scene: Scene) -> None:
    """One large message may push out several small ones."""
    for id in "abc":
        scene.send(id, payload=b"x" * 30)
    assert scene.send("d", payload=b"x" * 60).dropped == ("a", "b")
    assert scene.send("e", payload=b"x" * 100).dropped == ("c", "d")


@pytest.mark.settings(max_pending=2, max_batch=2, overflow="drop_oldest")
def test_drop_oldest_never_drops_a_command(scene: Scene) -> None:
    """A command at the head makes the session full; nothing behind it is dropped instead."""
    scene.command("stop")
    scene.send("a")
    before = scene.look()
    assert scene.send("b").status == "full"
    assert scene.look() == before


@pytest.mark.settings(max_pending=2, max_batch=2, overflow="drop_oldest")
def test_drop_oldest_never_drops_the_open_batch(scene: Scene) -> None:
    """What a handler works on stays; only the waiting list gives way."""
    scene.open_batch("a", "b")
    for id in "cd":
        scene.send(id)
    assert scene.send("e").dropped == ("c",)
    assert ids(scene.peek().batch) == ["a", "b"]  # type: ignore[union-attr]


@pytest.mark.settings(max_pending=2, max_batch=2, overflow="drop_oldest", min_interval=60)
def test_a_command_that_dropping_brings_to_the_head_is_due_as_a_command(scene: Scene) -> None:
    """``min_interval`` holds batches back, not commands; the drop must notice who is first now."""
    scene.ack(scene.open_batch("first"))
    scene.send("a")
    scene.command("stop")
    assert scene.due_in() == 60_000
    assert scene.send("b").dropped == ("a",)
    assert scene.due_in() == 0
    assert [kind for kind, _ in scene.dispatch().kicks] == ["c"]
    assert ids(scene.claimed(kind="c").elements) == ["stop"]


@pytest.mark.settings(max_pending=2, max_batch=2, overflow="drop_oldest")
def test_dropping_makes_no_batch_later(scene: Scene) -> None:
    """The deadline is that of the dropped message: a flood cannot keep a session from its handler."""
    scene.send("a", active=False)
    due = scene.due_in()
    assert due == MAX_WAIT
    scene.wait(4_000)
    scene.send("b", active=False)
    assert scene.due_in() == 0
    for id in "cdef":
        scene.wait(1)
        scene.send(id, active=False)
        assert scene.due_in() is not None
        assert scene.due_in() <= 0  # type: ignore[operator]


def test_many_messages_are_stored_as_if_one_by_one(scene: Scene) -> None:
    """Several sessions, one of them twice, an id twice: each gets its own reply, in the order of the call."""
    messages = [scene.outgoing(id, session) for id, session in (("a", "one"), ("a", "two"), ("b", "one"), ("a", "one"))]
    sent = scene.store.send_many(messages, scene.now)
    assert [(each.status, each.waiting) for each in sent] == [
        ("accepted", 1),
        ("accepted", 1),
        ("accepted", 2),
        ("duplicate", 2),
    ]
    assert ids(scene.peek("one").elements) == ["a", "b"]  # type: ignore[union-attr]
    assert scene.look().counts["accepted"] == 3


def test_many_messages_keep_their_order(scene: Scene) -> None:
    """Promise 2, for more than fit into one call of a script."""
    scene.store.send_many([scene.outgoing(f"m{number}") for number in range(1_500)], scene.now)
    view = scene.peek(last=-1)
    assert view is not None
    assert ids(view.elements) == [f"m{number}" for number in range(1_500)]


def test_many_messages_to_many_partitions(scene: Scene) -> None:
    """The replies are in the order of the call, not of the partitions."""
    messages = []
    for number in range(40):
        message = scene.outgoing("a", f"session-{number}", payload=b"x" * number)
        messages.append(message._replace(address=message.address._replace(partition=str(number % 3))))
    sent = scene.store.send_many(messages, scene.now)
    assert [each.waiting_bytes for each in sent] == list(range(40))
    for partition in "12":
        snapshot(scene.store, partition).check_sum()


def test_no_messages_are_no_mistake(scene: Scene) -> None:
    """An empty list is sent and answered."""
    assert scene.store.send_many([], scene.now) == []


@pytest.mark.parametrize(
    "name", ["a b", " ", "line\nbreak\r\n", "\0", "{tag}", "a:b", "*?[]", "ü🐇中", "%s %d %", "x" * 512, "1 2 3 m"]
)
def test_any_text_is_a_session(scene: Scene, name: str) -> None:
    """Names with spaces, line breaks, NUL, braces and patterns come back as they were sent."""
    scene.send("a", name, flush=True)
    claim = scene.claimed()
    assert claim.address.session == name
    letter_id = scene.nack(claim, delay=-1).dead_id
    assert [(letter.id, letter.session) for letter in scene.letters()] == [(letter_id, name)]
    scene.redrive(scene.letters()[0])
    scene.wait(30_000)
    scene.claimed()
    scene.wait(30_000)
    assert [told.address.session for told in scene.reclaim()] == [name]


@pytest.mark.parametrize("payload", [b"", b"\0", b"a b\nc", bytes(range(256)), b"1 m a 1 2 - id {}"])
def test_any_payload_comes_back_untouched(scene: Scene, payload: bytes) -> None:
    """Lua never reads it."""
    scene.send("a", payload=payload, flush=True)
    assert unpack(scene.claimed().elements[0])[1] == payload
