"""Eager mode: under ``task_always_eager`` every send is handled in place, without a server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import Celery

from celery_inbox import Batch, Inbox


@pytest.fixture
def inbox() -> Inbox:
    """An inbox of an eager app, whose broker nobody could reach."""
    app = Celery("eager", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.task_always_eager = True
    return Inbox(app, "eager")


def test_a_send_inside_a_handler_waits_until_its_batch_is_settled(inbox: Inbox) -> None:
    """Then it is handled, before the outer send returns."""
    order: list[str] = []

    @inbox.handler
    def reply(batch: Batch) -> None:
        order.append(f"begin {batch[0].body}")
        if batch[0].body == "outer":
            inbox.send("ada", "inner")
        order.append(f"end {batch[0].body}")

    inbox.send("ada", "outer")
    assert order == ["begin outer", "end outer", "begin inner", "end inner"]


def test_an_async_handler_may_send(inbox: Inbox) -> None:
    """It runs in another thread than the send that it must not wait for."""
    seen: list[str] = []

    @inbox.handler
    async def reply(batch: Batch) -> None:
        seen.append(batch[0].body)
        if batch[0].body == "outer":
            inbox.send("ada", "sent")
            await inbox.asend("ada", "sent too")

    inbox.send("ada", "outer")
    assert seen == ["outer", "sent"]  # one batch of two
    assert inbox.peek("ada") is None


def test_a_handler_may_send_from_threads(inbox: Inbox) -> None:
    """And wait for them."""
    seen: list[int] = []

    @inbox.handler
    def reply(batch: Batch) -> None:
        seen.extend(message.body for message in batch)
        if batch[0].body == 0:
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda number: inbox.send(f"s{number}", number), range(1, 20)))

    inbox.send("ada", 0)
    assert sorted(seen) == list(range(20))


def test_a_handler_sees_that_it_was_cancelled(inbox: Inbox) -> None:
    """At once, without the thread of a worker."""
    seen: list[bool] = []

    @inbox.handler
    def reply(batch: Batch) -> None:
        inbox.cancel(batch.session)
        seen.append(batch.cancelled)
        raise InterruptedError

    inbox.send("ada", "hi")
    assert seen == [True]
    assert inbox.stats().cancelled == 1


@pytest.mark.parametrize("propagates", [False, True])
def test_the_last_attempt_is_raised_if_celery_is_asked_to(inbox: Inbox, propagates: bool) -> None:
    """As with eager tasks; the batch is a dead letter either way, and the next send is handled."""
    inbox.app.conf.task_eager_propagates = propagates
    attempts: list[int] = []

    @inbox.handler(max_attempts=3)
    def reply(batch: Batch) -> None:
        attempts.append(batch.attempt)
        raise ValueError("no")

    def send() -> Any:
        return inbox.send("ada", "hi")

    for _ in range(2):
        if propagates:
            with pytest.raises(ValueError, match="no"):
                send()
        else:
            assert send().status == "accepted"
    assert attempts == [1, 2, 3] * 2
    assert len(inbox.dead_letters()) == 2


def test_a_paused_session_collects(inbox: Inbox) -> None:
    """Time does not jump over a pause; resume handles what came."""
    seen: list[list[str]] = []

    @inbox.handler
    def reply(batch: Batch) -> None:
        seen.append([message.body for message in batch])

    inbox.pause("ada", for_=3600)
    inbox.send("ada", "one")
    inbox.send("ada", "two")
    assert seen == []
    inbox.resume("ada")
    assert seen == [["one", "two"]]
