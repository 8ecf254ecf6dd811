"""Run a Redis server in the foreground: ``python -m celery_inbox.embedded``."""

import signal
import sys
import time

from celery_inbox.embedded.local_server import Server
from celery_inbox.embedded.source import running_url
from celery_inbox.errors import InboxError

LOOK_INTERVAL = 0.5  # seconds between two looks at the server


def main() -> None:
    """Print the URL on the first line, then stay until SIGTERM, SIGINT or SIGHUP.

    With ``REDIS_URL`` set nothing is started; it is printed, so that a Procfile works on either machine.
    """
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, lambda _number, _frame: sys.exit())
    if url := running_url():
        print(url, flush=True)
        while True:
            signal.pause()
    with Server() as server:
        print(server.url, flush=True)
        while server.is_running:
            time.sleep(LOOK_INTERVAL)
        sys.exit("The Redis server has ended by itself.")


if __name__ == "__main__":
    try:
        main()
    except InboxError as error:
        sys.exit(str(error))
