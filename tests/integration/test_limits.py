"""Many messages, many sessions, large bodies, on a real worker; a tenth of each unless ``make limits`` asks for all."""

import psutil
import pytest
import redis
from pytest_celery import CeleryTestSetup

from celery_inbox import Inbox
from celery_inbox.testing import History
from crash.scene import main_pid
from limits.size import FULL, size
from waiting import wait_until

from .conftest import Send, left_behind, stays
from .follow import Follower

HOT = size(50_000)
SESSIONS = 200_000 if FULL else 4_000
PAGE = 1000  # messages of one send_many
MB = 1_000_000
FLAT = 50 * MB  # bytes by which a worker may grow: BKP-1
BASELINE = 2 * MB  # bytes by which the server's memory may differ: tables that were resized
PATIENCE = 1800.0 if FULL else 120.0  # seconds for the full numbers on a slow machine


def send_all(inbox: Inbox, history: History, messages: list[tuple[str, str]]) -> None:
    for first in range(0, len(messages), PAGE):
        page = messages[first : first + PAGE]
        for (session, _), receipt in zip(page, inbox.send_many(page), strict=True):
            history.sent(session, receipt)


def memory_of(setup: CeleryTestSetup) -> int:
    """Resident memory of the worker and its children, bytes."""
    main = psutil.Process(main_pid(setup.worker))
    return sum(process.memory_info().rss for process in (main, *main.children(recursive=True)))


def wait_for(follower: Follower, many: int) -> None:
    wait_until(lambda: follower.handled() >= many, description=f"{many} messages are handled", timeout=PATIENCE)


@pytest.mark.settings(max_pending=100_000)
def test_a_long_session_is_handled_in_order_batch_by_batch(
    inbox: Inbox, history: History, follower: Follower, data: redis.Redis, celery_setup: CeleryTestSetup, send: Send
) -> None:
    """BKP-1: 50,000 messages in one session: batches of max_batch, in order, the worker's memory flat."""
    send("warm", "up")
    wait_for(follower, 1)
    before = memory_of(celery_setup)
    inbox.pause("hot")
    send_all(inbox, history, [("hot", "x")] * HOT)
    inbox.resume("hot")
    wait_for(follower, HOT + 1)
    grown = memory_of(celery_setup) - before
    follower.report().assert_clean()
    sizes = [len(run.messages) for run in follower.runs("hot")]
    print(f"{HOT} messages in {len(sizes)} batches; the worker grew by {grown / MB:.1f} MB")
    assert max(sizes) == inbox.settings.max_batch
    assert len(sizes) <= HOT / inbox.settings.max_batch + 1
    assert grown < FLAT


def test_many_sessions_leave_nothing_behind(
    inbox: Inbox, history: History, follower: Follower, data: redis.Redis, celery_setup: CeleryTestSetup, send: Send
) -> None:
    """200,000 sessions of one message: the server's keys and memory are what they were, the worker's memory is flat."""
    for number in range(inbox.settings.partitions * 4):
        send(f"warm {number}", "up")
    wait_for(follower, inbox.settings.partitions * 4)
    before, keys, worker = used_memory(data), settled_keys(data), memory_of(celery_setup)
    send_all(inbox, history, [(f"session {number}", "x") for number in range(SESSIONS)])
    highest = used_memory(data)
    wait_for(follower, inbox.settings.partitions * 4 + SESSIONS)
    wait_until(lambda: not left_behind(data), description="no key of a session is left")
    grown = memory_of(celery_setup) - worker
    assert settled_keys(data) <= keys
    wait_until(
        lambda: used_memory(data) - before < BASELINE, description="the server's memory is what it was", timeout=30
    )
    print(
        f"{SESSIONS} sessions: the server had {before / MB:.1f} MB, rose to {highest / MB:.1f} MB "
        f"and has {used_memory(data) / MB:.1f} MB; the worker grew by {grown / MB:.1f} MB"
    )
    follower.report().assert_clean()
    assert highest > before + SESSIONS * 100
    assert grown < FLAT


def used_memory(data: redis.Redis) -> int:
    """Bytes, without the marks that expire by themselves within five minutes."""
    marks = [key for key in data.scan_iter("celery-inbox:*", count=1000) if data.ttl(key) > 0]
    size_of_marks = sum(data.memory_usage(key, samples=0) or 0 for key in marks)
    return int(data.info("memory")["used_memory"]) - size_of_marks


def settled_keys(data: redis.Redis) -> set[str]:
    return {key for key in data.scan_iter("celery-inbox:*", count=1000) if stays(key)}


@pytest.mark.settings(partitions=1)
def test_a_flood_does_not_starve_its_neighbours(
    inbox: Inbox, history: History, follower: Follower, data: redis.Redis, send: Send
) -> None:
    """A neighbour starts within two batches of the flood, in the one partition and the one slot that they share."""
    flood = [("flood", {"sleep": 0.002})] * 3000
    for first in range(0, len(flood), PAGE):
        for receipt in inbox.send_many(flood[first : first + PAGE]):
            history.sent("flood", receipt)
    wait_until(lambda: follower.started("flood") >= 2, description="the flood is being handled")
    for number in range(5):
        send(f"neighbour {number}", "hello", flush=True)
        wait_until(lambda number=number: follower.finished(f"neighbour {number}") == 1, description="it is answered")  # type: ignore[misc]
    assert follower.finished("flood") < 30, "the flood was over before its neighbours came"
    for number in range(5):
        [run] = follower.runs(f"neighbour {number}")
        arrived = run.messages[0].at
        ahead = [each for each in follower.runs("flood") if arrived <= each.start.at <= run.start.at]
        assert len(ahead) <= 2, f"{len(ahead)} batches of the flood went first"
    wait_for(follower, len(flood) + 5)
    follower.report().assert_clean()


@pytest.mark.settings(max_message_bytes=52_000_000, max_pending_bytes=120_000_000, socket_timeout=30.0)
def test_bodies_from_a_byte_to_fifty_megabytes(send: Send, follower: Follower, data: redis.Redis, inbox: Inbox) -> None:
    """BKP-7: each arrives; one that is larger than a batch may be travels alone."""
    sizes = [1, 1000, 256 << 10, inbox.settings.max_bytes - 2, inbox.settings.max_bytes + 1, 50_000_000, 1]
    inbox.pause("s")
    ids = {send("s", "x" * size).id: size for size in sizes}
    inbox.resume("s")
    wait_for(follower, len(sizes))
    follower.report().assert_clean()
    batches = [[ids[id] for id in run.ids] for run in follower.runs("s")]
    assert [size for batch in batches for size in batch] == sizes
    assert all(len(batch) == 1 or sum(batch) <= inbox.settings.max_bytes for batch in batches)
    assert [50_000_000] in batches
