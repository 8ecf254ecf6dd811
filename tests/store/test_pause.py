"""Pause and resume: human takeover."""

from store.scene import DEBOUNCE, T0, Scene, ids


def test_a_paused_session_collects_and_nothing_runs(scene: Scene) -> None:
    """WAITING: leaves ``due``."""
    scene.send("a")
    scene.pause()
    assert scene.send("b", flush=True).due_at is None
    scene.wait(1_000_000)
    assert scene.claim() is None
    assert (scene.dispatch().kicks, scene.stats().stopped) == ((), 1)
    assert scene.resume()
    assert ids(scene.claimed().elements) == ["a", "b"]


def test_an_idle_session_can_be_paused(scene: Scene) -> None:
    """The mark outlives the absence of messages."""
    scene.pause()
    assert scene.peek() is None
    scene.send("a", flush=True)
    assert scene.claim() is None
    scene.resume()
    assert scene.claim() is not None


def test_a_run_that_was_going_may_finish(scene: Scene) -> None:
    """CLAIMED: renew and ack are accepted, then stopped."""
    claim = scene.open_batch("a")
    scene.send("b", flush=True)
    scene.pause()
    assert scene.renew(claim)
    assert scene.ack(claim, "token").next is None
    assert scene.stats().stopped == 1
    scene.resume()
    assert ids(scene.claimed().elements) == ["b"]


def test_a_failed_run_of_a_paused_session_is_not_retried(scene: Scene) -> None:
    """STOPPED with an open batch, kept for resume; reclaim leaves it stopped as well."""
    scene.send("x", "other", flush=True)
    other = scene.claimed()
    claim = scene.open_batch("a")
    scene.pause()
    scene.pause("other")
    scene.nack(claim, delay=0)
    scene.wait(30_000)
    assert [told.address for told in scene.reclaim()] == [other.address]
    assert scene.claim() is None
    scene.resume()
    assert scene.claimed().attempt == 2


def test_a_pause_ends_by_itself(scene: Scene) -> None:
    """``for_=``: the dispatcher looks then, and kicks."""
    scene.send("a")
    scene.pause(duration=600_000)
    view = scene.peek()
    assert view is not None
    assert view.stopped_until == T0 + 600_000
    scene.wait(599_999)
    assert scene.dispatch().look_in == 1
    scene.wait(1)
    assert len(scene.dispatch().kicks) == 1
    assert ids(scene.claimed().elements) == ["a"]


def test_resuming_who_was_not_stopped_says_so(scene: Scene) -> None:
    """And changes nothing."""
    scene.send("a")
    before = scene.look()
    assert not scene.resume()
    assert not scene.resume("nobody")
    assert scene.look() == before
    assert scene.due_in() == DEBOUNCE


def test_a_touch_of_a_paused_session_moves_nothing(scene: Scene) -> None:
    """STOPPED: none."""
    scene.send("a")
    scene.pause()
    scene.wait(900)
    scene.touch()
    scene.resume()
    assert scene.due_in() == DEBOUNCE - 900


def test_a_paused_session_that_is_dropped_stays_paused(scene: Scene) -> None:
    """The mark is about the session, not about its messages."""
    scene.send("a")
    scene.pause()
    assert scene.drop() == 1
    scene.send("b", flush=True)
    assert scene.claim() is None
