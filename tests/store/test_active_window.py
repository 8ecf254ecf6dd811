"""The active window: what is said while nobody addresses the bot."""

import pytest

from store.scene import MAX_WAIT, Scene, ids

pytestmark = pytest.mark.settings(active_window=60)


@pytest.mark.settings(active_window=None)
def test_without_a_window_everything_is_stored(scene: Scene) -> None:
    """Off is off."""
    assert scene.send("a", active=False).status == "accepted"


def test_outside_the_window_an_inactive_message_is_ignored(scene: Scene) -> None:
    """Nothing is stored, counted or remembered."""
    sent = scene.send("a", active=False)
    assert (sent.status, sent.waiting, sent.due_at) == ("ignored", 0, None)
    assert scene.look().sessions == frozenset()
    assert scene.count("accepted") == 0


def test_a_stored_active_message_opens_the_window(scene: Scene) -> None:
    """Up to and including its last millisecond."""
    scene.send("a")
    scene.wait(60_000)
    assert scene.send("b", active=False).status == "accepted"
    scene.wait(1)
    assert scene.send("c", active=False).status == "ignored"


def test_an_inactive_message_does_not_prolong_the_window(scene: Scene) -> None:
    """Otherwise chatter would keep it open for ever."""
    scene.send("a")
    scene.wait(40_000)
    assert scene.send("b", active=False).status == "accepted"
    scene.wait(40_000)
    assert scene.send("c", active=False).status == "ignored"


def test_an_active_message_prolongs_the_window(scene: Scene) -> None:
    """Counted from the last one."""
    scene.send("a")
    scene.wait(40_000)
    scene.send("b")
    scene.wait(40_000)
    assert scene.send("c", active=False).status == "accepted"


def test_a_duplicate_does_not_prolong_the_window(scene: Scene) -> None:
    """Only a stored active message does."""
    scene.send("a")
    scene.wait(40_000)
    assert scene.send("a").status == "duplicate"
    scene.wait(40_000)
    assert scene.send("b", active=False).status == "ignored"


@pytest.mark.settings(max_pending=1, max_batch=1)
def test_a_refused_message_does_not_open_the_window(scene: Scene) -> None:
    """Only a stored active message does."""
    scene.send("a")
    scene.wait(50_000)
    assert scene.send("b").status == "full"
    scene.ack(scene.claimed())
    scene.wait(20_000)
    assert scene.send("c", active=False).status == "ignored"


def test_a_touch_does_not_open_the_window(scene: Scene) -> None:
    """Typing is no message."""
    scene.send("a")
    scene.wait(50_000)
    scene.touch()
    scene.wait(20_000)
    assert scene.send("b", active=False).status == "ignored"


def test_windows_are_per_session(scene: Scene) -> None:
    """Addressing the bot in one chat opens no other."""
    scene.send("a", "one")
    assert scene.send("b", "two", active=False).status == "ignored"


def test_the_window_outlives_the_batch(scene: Scene) -> None:
    """What is said after the answer is stored, alone it is due after ``max_wait``."""
    scene.ack(scene.open_batch("a"))
    scene.wait(10_000)
    assert scene.send("b", active=False).status == "accepted"
    assert scene.due_in() == MAX_WAIT
    scene.wait(MAX_WAIT)
    assert ids(scene.claimed().elements) == ["b"]


@pytest.mark.settings(active_window=0)
def test_a_window_of_zero_stores_active_messages_only(scene: Scene) -> None:
    """The smallest window."""
    assert scene.send("a").status == "accepted"
    assert scene.send("b", active=False).status == "ignored"
