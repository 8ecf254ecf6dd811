"""TIM-8: kicks are few and small, however much is sent."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest
import redis
from pytest_celery import CeleryTestSetup

from celery_inbox import Inbox
from celery_inbox.store.keys import address
from celery_inbox.testing import History
from waiting import wait_until

from .conftest import Send
from .follow import Follower
from .kicks import content, outstanding, stored

SENDS = 10_000
MOST_KICKS = 10
MOST_BYTES = 1024
SECRET = "xyzzy-plugh"


@pytest.fixture
def kicks_at(celery_setup: CeleryTestSetup) -> Iterator[redis.Redis]:
    """A client of the kicks_at."""
    with redis.Redis.from_url(celery_setup.app.conf.broker_url, decode_responses=True) as client:
        yield client


@contextmanager
def sampled(look: Callable[[], int]) -> Iterator[list[int]]:
    """Look again and again while the block runs; what was seen."""
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            seen.append(look())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def place(inbox: Inbox, session: str) -> str:
    """The partition of a session."""
    return address(session, inbox.settings.partitions).partition


@pytest.mark.settings(debounce=0.02, max_wait=0.2, max_pending=SENDS)
def test_ten_thousand_sends_to_one_session_are_a_handful_of_kicks(
    inbox: Inbox, kicks_at: redis.Redis, send: Send, follower: Follower
) -> None:
    """Sent within seconds: the broker never holds more than ten kicks, and all is handled in order."""
    queue = f"chat.{place(inbox, 'hot')}"
    with sampled(lambda: outstanding(kicks_at, queue)) as seen:
        for n in range(SENDS):
            send("hot", n)
        wait_until(lambda: follower.handled() == SENDS, description="all is handled", timeout=60)

    follower.report().assert_clean()
    assert len(follower.runs()) >= SENDS / 100
    print(f"{len(follower.runs())} batches, at most {max(seen)} kicks in {len(seen)} looks")
    assert max(seen) <= MOST_KICKS
    assert len(seen) > 20


@pytest.mark.settings(partitions=1, debounce=0.0, max_wait=0.0, lease=30.0)
def test_thousands_of_due_sessions_are_a_handful_of_kicks(
    celery_setup: CeleryTestSetup,
    inbox: Inbox,
    kicks_at: redis.Redis,
    history: History,
    data: redis.Redis,
    follower: Follower,
) -> None:
    """3000 sessions of one partition are due at once: two kicks per slot are on their way, no more."""
    with sampled(lambda: outstanding(kicks_at, "chat.0")) as seen:
        for start in range(0, 3000, 100):
            sessions = [f"user:{n}" for n in range(start, start + 100)]
            for session, receipt in zip(
                sessions, inbox.send_many([(session, "hi") for session in sessions]), strict=True
            ):
                history.sent(session, receipt)
        wait_until(lambda: follower.handled() == 3000, description="all is handled", timeout=60)

    follower.report().assert_clean()
    celery_setup.worker.assert_log_does_not_exist("is lost", timeout=0)
    print(f"at most {max(seen)} kicks in {len(seen)} looks")
    assert 1 <= max(seen) <= 2


@pytest.mark.leaves_work
@pytest.mark.settings(partitions=1, debounce=0.0, max_wait=0.0, lease=0.5, dispatch_interval=0.25)
def test_kicks_do_not_pile_up_while_all_slots_are_busy(
    celery_setup: CeleryTestSetup, inbox: Inbox, kicks_at: redis.Redis, follower: Follower
) -> None:
    """A handler that runs for a dozen leases, three sessions that wait for its slot."""
    inbox.send("busy", {"sleep": 12 * 0.5})
    wait_until(lambda: follower.started("busy") == 1, description="the handler runs")
    inbox.send_many([(f"user:{n}", "hi") for n in range(3)])
    with sampled(lambda: outstanding(kicks_at, "chat.0")) as seen:
        wait_until(lambda: follower.finished("busy") == 1, description="the handler ends", timeout=20)
    print(f"at most {max(seen)} kicks in {len(seen)} looks")
    assert 1 <= max(seen) <= MOST_KICKS


@pytest.mark.leaves_work
def test_a_kick_is_small_and_says_nothing_of_session_or_text(
    celery_setup: CeleryTestSetup, inbox: Inbox, kicks_at: redis.Redis, send: Send, follower: Follower
) -> None:
    """The worker is busy, then frozen; what lies in the broker is read as it is stored."""
    partition = place(inbox, SECRET)
    queue = f"chat.{partition}"
    names = (f"{SECRET} {n}" for n in count())
    sessions = [SECRET, *(next(name for name in names if place(inbox, name) == partition) for _ in range(3))]
    send(SECRET, {"sleep": 300, "text": SECRET}, flush=True)
    wait_until(lambda: follower.started() == 1, description="the handler runs")
    for session in sessions[1:]:
        send(session, {"text": SECRET}, headers={"note": SECRET})
    wait_until(lambda: outstanding(kicks_at, queue) == 2, description="kicks for two times the slots lie in the broker")
    celery_setup.worker.container.pause()

    kicks = stored(kicks_at, queue)
    assert len(kicks) == 2
    for kick in kicks:
        said = content(kick)
        assert said["body"][:2] == [["chat", partition, "m"], {}]
        assert said["headers"]["task"] == "bot.reply"
        assert SECRET not in str(said)
        assert SECRET not in kick
        assert len(kick.encode()) < MOST_BYTES, f"{len(kick)} bytes"
    print(f"a kick has {max(len(kick.encode()) for kick in kicks)} bytes")
    celery_setup.worker.kill()
