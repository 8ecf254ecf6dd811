"""A dispatcher that was busy finds many wakes at once."""

from __future__ import annotations

import time
import uuid

from celery import Celery

from celery_inbox import Batch, Inbox
from celery_inbox.worker.dispatcher import Dispatcher
from celery_inbox.worker.share import Share

WAKES = 20
SOON = 20.0
"""Seconds until the dispatcher would look by itself."""


def test_one_look_answers_all_the_wakes_that_have_come(redis_url: str) -> None:
    """The look that follows is for all of them; not one is left to ask for another."""
    inbox = Inbox(Celery("busy", broker=redis_url, set_as_current=False), "busy", namespace=uuid.uuid4().hex)

    @inbox.handler(name="busy.reply")
    def reply(batch: Batch) -> None:
        raise AssertionError("handlers run in workers")

    dispatcher = Dispatcher(inbox, Share(inbox, "busy", ["0"]), 1)
    subscription = dispatcher.store.wakes(["0"])
    try:
        dispatcher._subscription = subscription
        dispatcher._look_at["0"] = dispatcher._share_at = time.monotonic() + SOON
        client = dispatcher.store.client
        said = [client.publish(f"{dispatcher.store.prefix('0')}:wake", "0 0") for _ in range(WAKES)]
        assert said == [1] * WAKES, "the dispatcher did not listen"
        dispatcher._listen()
        assert dispatcher.store.woken(subscription, 0.1) is None
    finally:
        subscription.close()
