"""Touch: somebody is typing."""

from store.scene import DEBOUNCE, MAX_WAIT, T0, Scene


def test_a_touch_pushes_the_debounce_back(scene: Scene) -> None:
    """WAITING: as an active message would move due_at; nothing is stored."""
    scene.send("a")
    scene.wait(800)
    assert scene.touch() == scene.now + DEBOUNCE
    assert scene.due_in() == DEBOUNCE
    assert scene.count("accepted") == 1


def test_touches_cannot_pass_max_wait(scene: Scene) -> None:
    """Who types for ever is answered all the same."""
    scene.send("a")
    for _ in range(19):
        scene.wait(500)
        scene.touch()
    assert scene.look().due.popitem()[1] == T0 + MAX_WAIT


def test_a_touch_of_nobody_leaves_nothing(scene: Scene) -> None:
    """No session, no key, no reply."""
    assert scene.touch() is None
    assert scene.look().sessions == frozenset()


def test_a_touch_does_not_hold_back_what_is_due(scene: Scene) -> None:
    """Due now stays due until claimed."""
    scene.send("a")
    scene.wait(DEBOUNCE)
    assert scene.touch() == scene.now
    assert scene.due_in() == 0


def test_a_touch_makes_inactive_messages_no_sooner(scene: Scene) -> None:
    """Without an active message the deadline decides."""
    scene.send("a", active=False)
    scene.wait(500)
    assert scene.touch() == T0 + MAX_WAIT


def test_a_touch_during_a_run_counts_for_the_rest(scene: Scene) -> None:
    """CLAIMED: remembered if a rest waits."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.wait(700)
    assert scene.touch() is None
    scene.ack(claim)
    assert scene.due_in() == DEBOUNCE


def test_a_touch_during_a_run_without_a_rest_is_forgotten(scene: Scene) -> None:
    """CLAIMED: there is nothing whose due_at it could move."""
    claim = scene.open_batch("a")
    scene.wait(700)
    assert scene.touch() is None
    scene.wait(100)
    scene.send("b", active=False)
    scene.ack(claim)
    assert scene.due_in() == MAX_WAIT


def test_a_touch_in_backoff_moves_nothing(scene: Scene) -> None:
    """BACKOFF: none, neither the retry nor the rest."""
    claim = scene.open_batch("a")
    scene.send("b", debounce=3_000)
    scene.nack(claim, delay=2_000)
    scene.wait(1_000)
    assert scene.touch() == T0 + 2_000
    scene.wait(1_000)
    scene.ack(scene.claimed())
    assert scene.due_in() == 1_000


def test_a_touch_of_a_command_moves_nothing(scene: Scene) -> None:
    """It is due now."""
    scene.command("stop")
    scene.wait(100)
    assert scene.touch() == T0
