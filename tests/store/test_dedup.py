"""A message id is accepted once."""

from typing import Any

import pytest

from store.scene import Scene, ids


def test_an_id_is_accepted_once_per_session(scene: Scene) -> None:
    """The second send changes nothing, not even due_at."""
    scene.send("a")
    before = scene.look()
    scene.wait(500)
    sent = scene.send("a", payload=b"other", flush=True)
    assert (sent.status, sent.waiting) == ("duplicate", 1)
    assert scene.look() == before


@pytest.mark.parametrize("given", [{"kind": "c"}, {"active": False}, {"flush": True}, {"key": "k"}], ids=str)
def test_a_duplicate_is_one_whatever_else_differs(scene: Scene, given: dict[str, Any]) -> None:
    """The id decides."""
    scene.send("a")
    before = scene.look()
    assert scene.send("a", **given).status == "duplicate"
    assert scene.look() == before


def test_an_id_is_remembered_while_its_batch_runs_fails_and_ends(scene: Scene) -> None:
    """CLAIMED, BACKOFF, handled: a replay is a duplicate in each."""
    claim = scene.open_batch("a")
    assert scene.send("a").status == "duplicate"
    scene.nack(claim, delay=0)
    assert scene.send("a").status == "duplicate"
    scene.ack(scene.claimed())
    assert scene.send("a").status == "duplicate"
    assert scene.peek() is None


def test_an_id_is_remembered_after_its_message_died(scene: Scene) -> None:
    """A replay does not bypass the dead letter."""
    scene.bury("a")
    assert scene.send("a").status == "duplicate"


@pytest.mark.settings(max_pending=2, max_batch=2, overflow="drop_oldest")
def test_an_id_is_remembered_after_its_message_was_dropped(scene: Scene) -> None:
    """Section 6: memory survives drop."""
    for id in "abc":
        scene.send(id)
    assert scene.send("a").status == "duplicate"


@pytest.mark.settings(dedup_ttl=600)
def test_an_id_is_forgotten_after_its_ttl(scene: Scene) -> None:
    """To the millisecond, counted from the acceptance; a duplicate does not prolong it."""
    scene.ack(scene.open_batch("a"))
    scene.wait(599_999)
    assert scene.send("a").status == "duplicate"
    scene.wait(1)
    assert scene.send("a").status == "accepted"


@pytest.mark.settings(max_ids=2)
def test_the_oldest_ids_go_first_when_there_are_too_many(scene: Scene) -> None:
    """``max_ids`` per session; what went early is counted."""
    for id in "abc":
        scene.send(id)
        scene.wait(1)
    assert scene.count("ids_evicted") == 1
    assert scene.send("c").status == "duplicate"
    assert scene.send("b").status == "duplicate"
    assert scene.send("a").status == "accepted"


def test_a_generated_id_cannot_be_doubled_by_a_call_that_is_sent_again(scene: Scene) -> None:
    """Promise 5: the id is made before the first try."""
    scene.send("generated", generated=True)
    assert scene.send("generated", generated=True).status == "duplicate"


def test_generated_ids_live_a_minute(scene: Scene) -> None:
    """They need not outlive a client's retries."""
    scene.send("generated", generated=True)
    scene.wait(59_999)
    assert scene.send("generated", generated=True).status == "duplicate"
    scene.wait(1)
    assert scene.send("generated", generated=True).status == "accepted"


@pytest.mark.settings(max_ids=1)
def test_generated_ids_do_not_push_out_those_of_callers(scene: Scene) -> None:
    """They are kept apart, and their end is no eviction to report."""
    scene.send("mine")
    for number in range(5):
        scene.send(f"generated-{number}", generated=True)
    assert scene.send("mine").status == "duplicate"
    assert scene.count("ids_evicted") == 0


@pytest.mark.settings(max_pending=1, max_batch=1)
def test_a_refused_message_leaves_its_id_free(scene: Scene) -> None:
    """LOS-7: an id is remembered if and only if its message was stored in the same call."""
    scene.send("a")
    assert scene.send("b").status == "full"
    scene.ack(scene.claimed())
    assert scene.send("b").status == "accepted"
    assert ids(scene.claimed().elements) == ["b"]


@pytest.mark.settings(active_window=60)
def test_an_ignored_message_leaves_its_id_free(scene: Scene) -> None:
    """The same line, sent again once somebody addressed the bot, is stored."""
    assert scene.send("a", active=False).status == "ignored"
    scene.send("b")
    assert scene.send("a", active=False).status == "accepted"
