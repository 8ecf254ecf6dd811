"""Dispatch: which kicks a partition needs now, and when to look again."""

import pytest

from celery_inbox.store.keys import address
from store.scene import DEBOUNCE, Scene

pytestmark = pytest.mark.settings(dispatch_interval=5)


def test_an_idle_partition_needs_nothing(scene: Scene) -> None:
    """Look again after ``dispatch_interval``."""
    needs = scene.dispatch()
    assert (needs.look_in, needs.expired, needs.kicks) == (5_000, 0, ())


def test_what_is_due_later_is_looked_at_then(scene: Scene) -> None:
    """min(next due, dispatch_interval)."""
    scene.send("a")
    needs = scene.dispatch()
    assert (needs.look_in, needs.kicks) == (DEBOUNCE, ())


def test_what_is_due_is_kicked_once(scene: Scene) -> None:
    """The record of outstanding kicks keeps other dispatchers quiet."""
    scene.send("a", flush=True)
    ((kind, kick),) = scene.dispatch("one").kicks
    assert (kind, kick.startswith("one")) == ("m", True)
    assert scene.dispatch("two").kicks == ()
    assert scene.stats().kicks == 1


def test_kicks_are_at_most_twice_the_slots(scene: Scene) -> None:
    """Seven sessions are due, two or three slots ask."""
    for number in range(7):
        scene.send("a", f"session-{number}", flush=True)
    assert len(scene.dispatch(slots=2).kicks) == 4
    assert scene.dispatch("again", slots=2).kicks == ()
    assert len(scene.dispatch("more", slots=3).kicks) == 2


def test_kicks_are_at_most_what_is_due(scene: Scene) -> None:
    """Three sessions, eight slots."""
    for number in range(3):
        scene.send("a", f"session-{number}", flush=True)
    assert len(scene.dispatch(slots=8).kicks) == 3


def test_kicks_name_the_kind_of_the_next_batch(scene: Scene) -> None:
    """By the open batch if there is one, else by the head."""
    scene.send("a", "one", flush=True)
    scene.command("stop", "two")
    assert sorted(kind for kind, _ in scene.dispatch(slots=4).kicks) == ["c", "m"]


def test_a_retried_command_is_kicked_as_a_command(scene: Scene) -> None:
    """Though an ordinary message is next in line."""
    scene.command("stop")
    scene.send("a")
    scene.nack(scene.claimed(kind="c"), delay=0)
    assert [kind for kind, _ in scene.dispatch().kicks] == ["c"]


def test_a_kick_that_is_lost_is_forgotten_after_a_lease(scene: Scene) -> None:
    """Promise 9: the session is kicked again."""
    scene.send("a", flush=True)
    scene.dispatch("one")
    scene.wait(29_999)
    assert scene.dispatch("two").old_kicks == 0
    scene.wait(1)
    assert scene.dispatch("three").old_kicks == 1
    assert len(scene.dispatch("four", queued=0).kicks) == 1


def test_an_old_kick_that_still_lies_in_the_broker_is_not_published_again(scene: Scene) -> None:
    """All slots are busy for many leases: the broker holds what it held."""
    scene.send("a", "one", flush=True)
    scene.send("b", "two", flush=True)
    assert len(scene.dispatch("one").kicks) == 2
    for _ in range(3):
        scene.wait(30_000)
        assert scene.dispatch("two") == scene.dispatch("three", queued=-1)
        assert scene.dispatch("four", queued=2).kicks == ()
    scene.wait(30_000)
    assert len(scene.dispatch("five", queued=1).kicks) == 1


def test_a_kick_that_started_makes_room_for_the_next(scene: Scene) -> None:
    """While one session runs, the next due one is kicked."""
    scene.send("a", "one", flush=True)
    scene.send("a", "two", flush=True)
    scene.send("a", "three", flush=True)
    first, second = scene.dispatch("one").kicks
    scene.claimed(kick=first[1])
    assert len(scene.dispatch("two").kicks) == 1
    assert second not in scene.dispatch("three").kicks


def test_a_kick_that_could_not_be_published_is_taken_back(scene: Scene) -> None:
    """Unkick: the next dispatch tries again at once."""
    scene.send("a", flush=True)
    kicks = scene.dispatch("one").kicks
    assert scene.unkick(*kicks) == 1
    assert scene.unkick(*kicks) == 0
    assert len(scene.dispatch("two").kicks) == 1


def test_unkick_takes_back_the_named_ones_only(scene: Scene) -> None:
    """Of both kinds."""
    scene.send("a", "one", flush=True)
    scene.command("stop", "two")
    kicks = scene.dispatch(slots=2).kicks
    assert scene.unkick(kicks[0]) == 1
    assert scene.stats().kicks == 1
    assert scene.unkick(*kicks, ("m", "unknown")) == 1


def test_unkick_of_nothing_is_nothing(scene: Scene) -> None:
    """An empty list is no mistake."""
    assert scene.unkick() == 0


def test_a_running_session_needs_no_kick(scene: Scene) -> None:
    """What waits behind an open batch waits for its ack; look when the lease might end."""
    scene.open_batch("a")
    scene.send("b", flush=True)
    scene.wait(27_000)
    needs = scene.dispatch()
    assert (needs.look_in, needs.expired, needs.kicks) == (3_000, 0, ())


def test_a_lease_that_is_over_is_reported(scene: Scene) -> None:
    """For reclaim, now."""
    scene.open_batch("a")
    scene.wait(30_000)
    needs = scene.dispatch()
    assert (needs.look_in, needs.expired) == (0, 1)


def test_kick_ids_are_unique_across_partitions(scene: Scene) -> None:
    """One nonce, many partitions: a task id is used once."""
    scene.send("a", flush=True)
    elsewhere = address("s", 1)._replace(partition="1")
    scene.store.send(scene.outgoing("a", flush=True)._replace(address=elsewhere), scene.now)
    kicks = [kick for needs in scene.store.dispatch(["0", "1"], "k", 1, scene.now) for kick in needs.kicks]
    assert len(kicks) == len(set(kicks)) == 2


def test_partitions_are_asked_together(scene: Scene) -> None:
    """One reply each, in order."""
    scene.send("a", flush=True)
    there, elsewhere = scene.store.dispatch(["0", "1"], "k", 1, scene.now)
    assert len(there.kicks) == 1
    assert (elsewhere.look_in, elsewhere.kicks) == (5_000, ())
