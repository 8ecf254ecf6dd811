"""A chat bot: one answer per burst of lines, commands at once."""

import os
import time

from celery import Celery

from celery_inbox import Batch, Command, Inbox
from celery_inbox.testing import History

app = Celery("bot", broker=os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
inbox = Inbox(app, "chat", debounce=0.5, max_wait=3.0, is_command="!")
history = History(os.environ.get("INBOX_HISTORY", os.devnull))
THINKING = 0.05  # seconds; stands for a call of a language model


@inbox.handler
def reply(batch: Batch) -> None:
    """Answer everything that somebody wrote in one go."""
    with history.run(batch):
        time.sleep(THINKING)
        print(f"{batch.session}, to your {len(batch)} lines: {' '.join(message.body for message in batch)}")


@inbox.command_handler
def command(command: Command) -> None:
    """Obey, whatever is being answered meanwhile."""
    with history.run(command):
        print(f"{command.session}, your wish: {command.body.removeprefix('!')}")
