"""Peek and stats: reading without changing."""

from store.scene import DEBOUNCE, T0, Scene, ids


def test_nobody_is_none(scene: Scene) -> None:
    """No session, no view."""
    assert scene.peek() is None


def test_a_waiting_session_is_shown(scene: Scene) -> None:
    """due_at, the count, the messages."""
    scene.send("a")
    view = scene.peek()
    assert view is not None
    assert (view.due_at, view.lease_end, view.waiting) == (T0 + DEBOUNCE, None, 1)
    assert (view.batch_id, view.attempt, view.fence, view.batch) == (None, 0, None, ())


def test_a_claimed_session_is_shown(scene: Scene) -> None:
    """The open batch with its holder, and what waits behind it."""
    claim = scene.open_batch("a")
    scene.send("b")
    view = scene.peek()
    assert view is not None
    assert (view.due_at, view.lease_end, view.waiting) == (None, T0 + 30_000, 1)
    assert (view.batch_id, view.attempt, view.fence) == (claim.batch_id, 1, claim.fence)
    assert (ids(view.batch), ids(view.elements)) == (["a"], ["b"])


def test_a_session_in_backoff_is_shown(scene: Scene) -> None:
    """An open batch that nobody holds."""
    scene.nack(scene.open_batch("a"), delay=700)
    view = scene.peek()
    assert view is not None
    assert (view.due_at, view.lease_end, view.attempt, view.fence) == (T0 + 700, None, 1, None)
    assert ids(view.batch) == ["a"]


def test_pages_of_the_waiting_list(scene: Scene) -> None:
    """First and last are indexes, both included; -1 is the end."""
    for id in "abcde":
        scene.send(id)
    pages = [(0, 1), (2, 3), (4, 9), (3, -1), (7, 9)]
    views = [scene.peek(first=first, last=last) for first, last in pages]
    assert [ids(view.elements) for view in views if view] == [["a", "b"], ["c", "d"], ["e"], ["d", "e"], []]
    assert {view.waiting for view in views if view} == {5}


def test_looking_changes_nothing(scene: Scene) -> None:
    """Neither peek nor stats nor letters."""
    scene.bury("a", session="dead")
    scene.send("b")
    before = scene.look()
    scene.peek()
    scene.stats()
    scene.letters()
    assert scene.look() == before


def test_stats_count_what_is_there(scene: Scene) -> None:
    """Depths of the sets, the oldest due_at, the counters."""
    scene.open_batch("a", session="running")
    scene.send("b", "early", debounce=500)
    scene.send("c", "late")
    depths = scene.stats()
    assert (depths.due, depths.leased, depths.stopped, depths.kicks) == (2, 1, 0, 0)
    assert depths.oldest_due_at == T0 + 500
    assert depths.counts["accepted"] == 3


def test_stats_of_an_empty_partition(scene: Scene) -> None:
    """Zeros and no oldest."""
    depths = scene.stats()
    assert (depths.due, depths.leased, depths.oldest_due_at, depths.counts) == (0, 0, None, {})
