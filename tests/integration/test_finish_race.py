"""LOS-6: a message that comes just as its session's handler finishes is not stranded."""

from collections.abc import Callable
from types import ModuleType

import pytest
from pytest_celery import CeleryTestWorker

from celery_inbox.testing import Run
from waiting import wait_until

from .conftest import Send, bot
from .follow import Follower

SESSIONS = 16
ROUNDS = 1250
TRIES = SESSIONS * ROUNDS
RECOVERY = 60.0  # seconds; the pass that would find what was stranded comes later than the test can wait
BOUND = 5000  # ms from acceptance to start, on a machine that may be busy


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "8")


@pytest.fixture
def first_worker_args() -> tuple[str, ...]:
    return ("--inbox", "0-15")


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("racing")


@pytest.mark.settings(debounce=0.0, max_wait=0.0, lease=RECOVERY, dispatch_interval=RECOVERY)
def test_a_message_sent_as_the_handler_finishes_is_never_stranded(
    send: Send, follower: Follower, start_worker: Callable[..., CeleryTestWorker]
) -> None:
    """20,000 races, -5 to +5 ms around the handler's end, with no later send and no recovery to help."""
    start_worker("--inbox", "16-31")
    for n in range(SESSIONS):
        send(f"racer {n}", ROUNDS)
    wait_until(lambda: follower.handled() == TRIES, description="all races are over", timeout=150)

    follower.report().assert_clean()
    late = sorted(run.start.at - message.at for run in follower.runs() for message in run.messages)
    before, after = sides(follower)
    print(f"{before} sends before the end, {after} after; start after p50 {late[TRIES // 2]} ms, longest {late[-1]} ms")
    assert late[-1] < BOUND
    assert min(before, after) > TRIES / 5, "the sends did not fall around the end"


def sides(follower: Follower) -> tuple[int, int]:
    """How many messages were accepted before and after the end of the run before them."""
    ends: dict[str, int] = {}
    sides = [0, 0]
    runs: list[Run] = follower.runs()
    for run in runs:
        if run.session in ends:
            sides[run.messages[0].at >= ends[run.session]] += 1
        assert run.end is not None
        ends[run.session] = run.end.at
    return sides[0], sides[1]
