"""A Redis server that belongs to this process."""

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celery_inbox.embedded.lifeline import Lifeline, ServerFailed
from celery_inbox.embedded.source import find_binary, running_url

HOST = "127.0.0.1"
PORT_TRIES = 5
START_TIMEOUT = 30.0  # seconds until a server must answer; a first start on macOS is slow
POLL_INTERVAL = 0.01  # seconds


@contextmanager
def server(*, appendonly: bool = False) -> Iterator[str]:
    """Give the URL of a Redis server for the length of a ``with`` block.

    Args:
        appendonly: Write every command to disk before it is answered. Has no effect on a server that runs already.

    Returns:
        The URL in ``REDIS_URL``, where nothing is started or ended; else that of a server started for this block.

    Raises:
        ServerNotFound: There is none to start. The message names every place that was searched.
        ServerFailed: There is one, but it did not start. Nothing is left of it.
    """
    if url := running_url():
        yield url
    else:
        with Server(appendonly=appendonly) as own:
            yield own.url


class Server:
    """A server of one's own: loopback, random port, random password, no eviction, no snapshots.

    It ends with the process that called ``start``, however that ends. A child made by ``os.fork`` may use the server
    but does not own it: there ``close`` does nothing. One object is for one thread.

    Args:
        appendonly: Write every command to disk before it is answered, so that data outlive ``stop`` and a crash.
    """

    def __init__(self, *, appendonly: bool = False) -> None:
        self.appendonly = appendonly
        self._lifeline: Lifeline | None = None
        self._port = 0
        self._password = ""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def start(self) -> None:
        """Start the server, or leave the one that runs; return when it answers.

        After ``stop`` or a crash it comes back with the same URL and data directory.

        Raises:
            ServerNotFound: There is no server program. Nothing was started.
            ServerFailed: It did not come up. After a first start nothing is left of it; else ``start`` may be repeated.
        """
        if self._lifeline is not None:
            self._launch()
            return
        self._lifeline = Lifeline(find_binary())
        try:
            self._launch_on_a_free_port()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """End the server and keep its port, password and data directory for ``start``."""
        self._require_started().stop_server()

    def restart(self) -> None:
        """Stop, then start: same URL, same data directory."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server and remove its directory; a later ``start`` begins afresh."""
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None

    @property
    def url(self) -> str:
        """``redis://:password@127.0.0.1:port/0``, from the first ``start`` until ``close``."""
        self._require_started()
        return f"redis://:{self._password}@{HOST}:{self._port}/0"

    @property
    def pid(self) -> int:
        """Process id of the server last started; it may have ended since (see ``is_running``)."""
        return self._require_started().server_pid

    @property
    def directory(self) -> Path:
        """Where settings, log and data are, for this user only, from the first ``start`` until ``close``."""
        return self._require_started().directory

    @property
    def is_running(self) -> bool:
        """Whether the server process exists."""
        return self._lifeline is not None and self._lifeline.is_server_running

    def _require_started(self) -> Lifeline:
        if self._lifeline is None:
            raise ServerFailed("The Redis server was not started: call start.")
        return self._lifeline

    def _launch_on_a_free_port(self) -> None:
        for tries_left in reversed(range(PORT_TRIES)):
            # The password is new each time: a stranger who took the port may have been sent the last one.
            self._port, self._password = free_port(), secrets.token_urlsafe(32)
            self._write_settings()
            try:
                self._launch()
                return
            except ServerFailed:
                if not tries_left or "Address already in use" not in self._require_started().log():
                    raise

    def _write_settings(self) -> None:
        path = self.directory / "server.conf"
        path.touch(mode=0o600)
        path.write_text(
            f"bind {HOST}\n"
            f"port {self._port}\n"
            f"requirepass {self._password}\n"
            'save ""\n'
            f"appendonly {'yes' if self.appendonly else 'no'}\n"
            "appendfsync always\n"
            "maxmemory-policy noeviction\n"
        )

    def _launch(self) -> None:
        lifeline = self._require_started()
        lifeline.start_server()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if not lifeline.is_server_running:
                raise ServerFailed(f"The Redis server ended while it started. Its log:\n{lifeline.log()}")
            if time.monotonic() > deadline:
                lifeline.stop_server()
                raise ServerFailed(f"The Redis server did not answer in {START_TIMEOUT} s. Its log:\n{lifeline.log()}")
            time.sleep(POLL_INTERVAL)

    def _answers(self) -> bool:
        """Whether this very server answers, not a stranger who took the port first."""
        once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=1, retry=once) as client:
            try:
                return bool(client.info("server")["process_id"] == self.pid)
            except redis.RedisError:
                return False


def free_port() -> int:
    """Return a TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
