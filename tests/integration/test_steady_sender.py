"""TIM-1: somebody who never pauses is answered all the same."""

from collections.abc import Sequence
from functools import partial

import pytest

from celery_inbox.testing import Run
from waiting import wait_until

from .conftest import Send
from .follow import Follower
from .load import Call, play

DEBOUNCE = 300  # ms
MAX_WAIT = 1500  # ms
GAP = 0.1  # seconds
DURATION = 10  # seconds
LATENESS = 1500  # ms that a busy machine may add


def due_at(arrivals: Sequence[int]) -> int:
    """When a batch that begins with the first of these arrivals, all active, is due: section 4's one due function."""
    deadline = arrivals[0] + MAX_WAIT
    for arrival, following in zip(arrivals, [*arrivals[1:], deadline], strict=True):
        if following > arrival + DEBOUNCE:
            return min(arrival + DEBOUNCE, deadline)
    return deadline


def test_a_sender_who_never_pauses_is_answered_every_max_wait(send: Send, follower: Follower) -> None:
    """One message every 100 ms for 10 s: batches start at max_wait, not before it and not long after."""
    sends = [Call(n * GAP, partial(send, "chatty", {"n": n})) for n in range(int(DURATION / GAP))]
    play(sends)
    wait_until(lambda: follower.handled() == len(sends), description="the last message is handled")

    follower.report().assert_clean()
    batches = follower.runs()
    arrivals = [message.at for batch in batches for message in batch.messages]
    assert len(batches) >= 5
    assert due_at(arrivals) == arrivals[0] + MAX_WAIT, "the load was not steady: the sender itself paused"
    for batch in batches:
        first = arrivals.index(batch.messages[0].at)
        assert batch.start.at >= due_at(arrivals[first:]), "a batch came before it was due"
        assert longest_wait(batch) <= MAX_WAIT + LATENESS
    assert batches[0].start.at - arrivals[0] >= MAX_WAIT


def test_two_pauses_shorter_than_the_debounce_make_one_batch(send: Send, follower: Follower) -> None:
    """TIM-3: three messages at 0, 90 and 180 ms into an idle session are one call with three."""
    play([Call(at, partial(send, "idle", {"at": at})) for at in (0.0, 0.09, 0.18)])
    wait_until(lambda: follower.handled() == 3, description="the burst is handled")
    [batch] = follower.runs()
    assert len(batch.messages) == 3
    assert batch.start.at >= batch.messages[-1].at + DEBOUNCE


@pytest.mark.settings(debounce=0.0, max_wait=0.0)
def test_without_a_debounce_batches_still_wait_for_each_other(send: Send, follower: Follower) -> None:
    """OVL-9: ten sends 50 ms apart to a handler that takes 200 ms are at most ten calls, one at a time."""
    play([Call(n * 0.05, partial(send, "hurried", {"sleep": 0.2})) for n in range(10)])
    wait_until(lambda: follower.handled() == 10, description="all ten are handled")
    follower.report().assert_clean()
    assert 2 <= len(follower.runs()) <= 10


def longest_wait(batch: Run) -> int:
    """Milliseconds from the oldest message's arrival to the start of its batch."""
    return batch.start.at - min(message.at for message in batch.messages)
