"""A bot with an async handler, whose client is made once and used by every batch."""

import asyncio
import json
import os
import threading

import redis.asyncio
from celery import Celery

from celery_inbox import Batch, Inbox
from celery_inbox.testing import History

imports = None

app = Celery("celery_test_app")
config = None

if config:
    app.config_from_object(config)

inbox = Inbox(app, "chat")
history = History(os.environ["HISTORY"])
client = redis.asyncio.Redis.from_url(os.environ["CELERY_BROKER_URL"])
turns = asyncio.Lock()


@inbox.handler(name="bot.reply")
async def reply(batch: Batch) -> None:
    """Use what belongs to the loop of the first call: a connection and a lock that others wait for."""
    with history.run(batch):
        async with turns:
            calls = await client.incr(f"calls of {os.getpid()}")
            await asyncio.sleep(0.01)
        line = {"pid": os.getpid(), "loop": id(asyncio.get_running_loop()), "calls": calls}
        with open(os.environ["NOTES"], "a") as file:
            file.write(json.dumps(line | {"thread": threading.get_ident()}) + "\n")
