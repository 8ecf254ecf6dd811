"""The one due function, branch by branch."""

import pytest

from store.scene import DEBOUNCE, MAX_WAIT, Scene, ids


def test_a_batch_is_due_after_a_lull(scene: Scene) -> None:
    """Debounce: the trailing edge, counted from the last message."""
    scene.send("a")
    assert scene.due_in() == DEBOUNCE
    scene.wait(600)
    scene.send("b")
    assert scene.due_in() == DEBOUNCE
    scene.wait(DEBOUNCE - 1)
    assert scene.claim() is None
    scene.wait(1)
    assert ids(scene.claimed().elements) == ["a", "b"]


def test_a_steady_sender_is_answered_after_max_wait(scene: Scene) -> None:
    """TIM-1: messages every 500 ms never leave a lull; the first one's deadline caps the wait."""
    for number in range(20):
        scene.send(f"m{number}")
        scene.wait(500)
    assert scene.now - 10_000 == scene.look().due.popitem()[1] - MAX_WAIT
    assert len(scene.claimed().elements) == 20


def test_a_later_max_wait_does_not_move_the_deadline(scene: Scene) -> None:
    """TIM-1: per-message settings cannot push past the first deadline."""
    scene.send("a", debounce=5_000, max_wait=10_000)
    scene.wait(6_000 - 2_000)
    scene.send("b", debounce=60_000, max_wait=100_000)
    assert scene.due_in() == 6_000


def test_the_last_debounce_counts(scene: Scene) -> None:
    """The debounce of a send is stored with the session."""
    scene.send("a", debounce=5_000)
    scene.send("b", debounce=500)
    assert scene.due_in() == 500


def test_debounce_zero_is_at_once(scene: Scene) -> None:
    """Nothing to wait for."""
    scene.send("a", debounce=0)
    assert scene.due_in() == 0
    assert ids(scene.claimed().elements) == ["a"]


def test_a_flush_makes_what_waits_due_now(scene: Scene) -> None:
    """The message and those before it."""
    scene.send("a")
    assert scene.due_in() == DEBOUNCE
    scene.send("b", flush=True)
    assert scene.due_in() == 0


@pytest.mark.settings(max_batch=2)
def test_a_flush_counts_for_all_that_came_before_it(scene: Scene) -> None:
    """Three batches' worth is flushed: each is due as soon as the one before is settled, the newcomer is not."""
    for id in "abcd":
        scene.send(id)
    scene.send("e", flush=True)
    claim = scene.claimed()
    scene.send("f")
    for expected in (["a", "b"], ["c", "d"], ["e", "f"]):
        assert ids(claim.elements) == expected
        settled = scene.ack(claim, scene.token())
        if settled.next:
            claim = settled.next
    assert scene.claim() is None


def test_a_flush_mark_is_used_up_by_its_messages(scene: Scene) -> None:
    """A message that comes after the flushed batch was taken waits for its own lull."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.ack(claim)
    assert scene.due_in() == DEBOUNCE


def test_a_flush_during_a_run_marks_the_rest(scene: Scene) -> None:
    """Section 4, column CLAIMED: due as soon as the batch is settled."""
    claim = scene.open_batch("a")
    scene.send("b", flush=True)
    scene.ack(claim)
    assert scene.due_in() == 0


@pytest.mark.settings(max_batch=3)
def test_a_batch_that_is_full_by_count_is_due_now(scene: Scene) -> None:
    """No later message could join it."""
    scene.send("a")
    scene.send("b")
    assert scene.due_in() == DEBOUNCE
    scene.send("c")
    assert scene.due_in() == 0


@pytest.mark.settings(max_bytes=100)
def test_a_batch_that_is_full_by_bytes_is_due_now(scene: Scene) -> None:
    """Reaching the limit closes it as passing it does."""
    scene.send("a", payload=b"x" * 50)
    assert scene.due_in() == DEBOUNCE
    scene.send("b", payload=b"x" * 50)
    assert scene.due_in() == 0


def test_a_batch_that_another_key_follows_is_due_now(scene: Scene) -> None:
    """Only neighbours with equal keys share a batch."""
    scene.send("a", key="k1")
    scene.send("b", key="k1")
    assert scene.due_in() == DEBOUNCE
    scene.send("c", key="k2")
    assert scene.due_in() == 0
    assert ids(scene.claimed().elements) == ["a", "b"]


def test_a_batch_that_a_command_follows_is_due_now(scene: Scene) -> None:
    """A command in line is a barrier."""
    scene.send("a")
    scene.command("stop")
    assert scene.due_in() == 0
    assert ids(scene.claimed().elements) == ["a"]


def test_a_command_at_the_head_is_due_now(scene: Scene) -> None:
    """It waits for no lull."""
    scene.command("stop")
    assert scene.due_in() == 0


def test_the_rest_behind_a_barrier_waits_for_its_own_lull(scene: Scene) -> None:
    """After the command the messages behind it are a batch like any other."""
    scene.command("stop")
    scene.send("a")
    scene.ack(scene.claimed(kind="c"))
    assert scene.due_in() == DEBOUNCE


def test_inactive_messages_alone_are_due_after_max_wait(scene: Scene) -> None:
    """Nobody is addressed: no debounce, the deadline only."""
    scene.send("a", active=False)
    assert scene.due_in() == MAX_WAIT
    scene.wait(3_000)
    scene.send("b", active=False)
    assert scene.due_in() == MAX_WAIT - 3_000


def test_an_inactive_message_does_not_push_the_debounce_back(scene: Scene) -> None:
    """Chatter beside an addressed message does not delay its answer."""
    scene.send("a")
    scene.wait(600)
    scene.send("b", active=False)
    assert scene.due_in() == DEBOUNCE - 600


def test_an_active_message_takes_the_inactive_ones_along(scene: Scene) -> None:
    """One batch: what was said before, then the address."""
    scene.send("a", active=False)
    scene.wait(2_000)
    scene.send("b")
    assert scene.due_in() == DEBOUNCE
    scene.wait(DEBOUNCE)
    assert ids(scene.claimed().elements) == ["a", "b"]


@pytest.mark.settings(min_interval=60)
def test_min_interval_is_counted_from_start_to_start(scene: Scene) -> None:
    """Not from the end of the batch before."""
    claim = scene.open_batch("a")
    scene.wait(20_000)
    scene.send("b", flush=True)
    scene.ack(claim)
    assert scene.due_in() == 40_000


@pytest.mark.settings(min_interval=60)
def test_min_interval_outlives_the_session(scene: Scene) -> None:
    """The mark stays when nothing else does."""
    scene.ack(scene.open_batch("a"))
    assert scene.peek() is None
    scene.send("b")
    assert scene.due_in() == 60_000
    scene.wait(60_000)
    assert ids(scene.claimed().elements) == ["b"]


@pytest.mark.settings(min_interval=60)
def test_min_interval_does_not_hold_retries_back(scene: Scene) -> None:
    """Section 4: not for retries."""
    scene.nack(scene.open_batch("a"), delay=500)
    assert scene.due_in() == 500


@pytest.mark.settings(min_interval=60)
def test_min_interval_does_not_hold_commands_back(scene: Scene) -> None:
    """Section 4: not for commands, and a command starts no interval."""
    scene.ack(scene.open_batch("a"))
    scene.command("stop")
    assert scene.due_in() == 0
    scene.ack(scene.claimed(kind="c"))
    scene.send("b", "other", flush=True)
    assert scene.due_in("other") == 0


def test_due_now_stays_due_until_claimed(scene: Scene) -> None:
    """A later message does not send the session to the back of the line."""
    scene.send("a")
    scene.wait(DEBOUNCE + 5)
    assert scene.send("b").due_at == scene.now - 5
    assert scene.due_in() == -5


def test_a_rest_keeps_the_deadline_of_its_own_first_message(scene: Scene) -> None:
    """``deadline_at`` is the first waiting message's arrival plus ``max_wait``."""
    claim = scene.open_batch("a")
    scene.wait(2_000)
    scene.send("b", active=False)
    scene.wait(3_000)
    scene.ack(claim)
    assert scene.due_in() == MAX_WAIT - 3_000


def test_a_message_that_came_during_the_run_is_due_by_its_own_debounce(scene: Scene) -> None:
    """The ack uses what the send stored; a lull that passed during the run has passed."""
    claim = scene.open_batch("a")
    scene.send("b", debounce=7_000)
    scene.wait(2_000)
    scene.ack(claim)
    assert scene.due_in() == 5_000


def test_a_lull_that_passed_during_the_run_needs_no_second_one(scene: Scene) -> None:
    """Due in the past: at the front of the line, not a debounce later."""
    claim = scene.open_batch("a")
    scene.send("b")
    scene.wait(2_500)
    scene.ack(claim)
    assert scene.due_in() == DEBOUNCE - 2_500


@pytest.mark.settings(max_batch=2)
def test_the_rest_of_a_full_batch_is_due_by_what_it_is(scene: Scene) -> None:
    """Three messages, batches of two: the third waits for its lull, not for max_wait."""
    for id in "abc":
        scene.send(id)
    scene.ack(scene.claimed())
    assert scene.due_in() == DEBOUNCE
