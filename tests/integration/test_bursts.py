"""TIM-3 and OVL-1: people write in bursts, and each burst is one batch."""

import random
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import chain, pairwise

import pytest
from pytest_celery import CeleryTestWorker

from celery_inbox.testing import Run
from waiting import wait_until

from .conftest import Send
from .follow import Follower
from .load import Call, play_in_threads

SESSIONS = 200
BURSTS = 2
SIZE = 10
DEBOUNCE = 300  # ms
PRODUCERS = 4
JITTER = 0.08  # seconds, the longest pause between two messages of a burst
PAUSE = 2.5  # seconds from burst to burst

Burst = tuple[str, int]


@pytest.fixture
def first_worker_args() -> tuple[str, ...]:
    return ("--inbox", "0-15")


def timetable(send: Send, session: str, random: random.Random) -> list[Call]:
    """The bursts of one session; a message's id names its burst."""
    calls = []
    for burst in range(BURSTS):
        at = burst * PAUSE + random.random() * 2 * PAUSE / 3
        for n in range(SIZE):
            calls.append(Call(at, partial(send, session, f"line {n}", id=f"{burst}-{n}")))
            at += random.random() * JITTER
    return calls


def bursts(runs: list[Run]) -> dict[Burst, list[tuple[str, int]]]:
    """The messages of each burst in the order in which they were handled: batch and arrival."""
    found: dict[Burst, list[tuple[str, int]]] = defaultdict(list)
    for run in runs:
        for message in run.messages:
            found[run.session, int(message.id.partition("-")[0])].append((run.start.batch, message.at))
    return found


def is_whole(messages: list[tuple[str, int]]) -> bool:
    """Whether the producer kept up: no pause in the burst came near the debounce."""
    arrivals = [at for _, at in messages]
    return all(after - before < DEBOUNCE for before, after in pairwise(arrivals))


@pytest.mark.alone
def test_each_burst_is_one_batch_in_order_whatever_else_goes_on(
    send: Send, follower: Follower, start_worker: Callable[..., CeleryTestWorker]
) -> None:
    """200 sessions with bursts of ten from several threads, two workers that share the partitions."""
    start_worker("--inbox", "16-31")
    dice = random.Random(20080427)
    timetables = [timetable(send, f"telegram:{n}", dice) for n in range(SESSIONS)]
    play_in_threads(chain.from_iterable(timetables[n::PRODUCERS]) for n in range(PRODUCERS))
    wait_until(lambda: follower.handled() == SESSIONS * BURSTS * SIZE, description="all is handled", timeout=30)

    follower.report().assert_clean()
    whole = [messages for messages in bursts(follower.runs()).values() if is_whole(messages)]
    assert len(whole) >= 0.99 * SESSIONS * BURSTS, "the producers did not keep up"
    in_one = sum(len({batch for batch, _ in messages}) == 1 for messages in whole)
    print(f"{in_one} of {len(whole)} bursts in one batch, {len(follower.runs())} batches")
    assert in_one >= 0.995 * len(whole)
    assert len({run.start.pid for run in follower.runs()}) == 2
