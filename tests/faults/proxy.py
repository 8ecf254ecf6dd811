"""A TCP proxy that breaks connections on command."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65536


class Link:
    """One client's connection with its own to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.awaits_reply = False

    def cut(self) -> None:
        """End both halves at once; bytes on their way are lost."""
        for end in (self.client, self.server):
            with suppress(OSError):  # The peer may have ended it first; closing alone would not wake the other thread.
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Stand between clients and a server, and break what they say.

    Each fault counts how often it struck, so that a test can show that it did. A reply is what the server sends between
    two things that the client says; one client with one call at a time is what the counts are exact for.

    Args:
        url: Any URL with host and port; ``Proxy.url`` is the same one by way of the proxy.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._upstream = self._place(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._links: set[Link] = set()
        self._to_drop = 0
        self._delay = 0.0
        self._silent = False
        self._closed = False
        self.connections = 0
        """Accepted so far."""
        self.round_trips = 0
        """Times that a client spoke and waited for a reply."""
        self.dropped = 0
        """Replies that ``drop_reply`` swallowed."""
        self.cuts = 0
        """Connections that ``cut`` ended."""
        self.swallowed = 0
        """Bytes that the black hole swallowed, in either direction."""

    @property
    def url(self) -> str:
        """The server's URL by way of this proxy."""
        user, at, _ = self._parts.netloc.rpartition("@")
        host, port = self._listener.getsockname()[:2]
        return urlunsplit(self._parts._replace(netloc=f"{user}{at}{host}:{port}"))

    def __enter__(self) -> Self:
        """Start to accept."""
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to accept and end every connection."""
        self._closed = True
        self._listener.close()
        self._cut_all()

    def lead_to(self, url: str) -> None:
        """Connect to another server from now on; the connections to the old one are ended."""
        self._upstream = self._place(url)
        self._cut_all()

    @staticmethod
    def _place(url: str) -> tuple[str, int]:
        parts = urlsplit(url)
        return parts.hostname or "127.0.0.1", parts.port or 6379

    # Faults.

    def cut(self) -> int:
        """End every connection now; new ones are welcome. The reply is how many there were."""
        many = self._cut_all()
        self.cuts += many
        return many

    def drop_reply(self, number: int = 1) -> None:
        """Let the server do what it is told, but swallow its next replies, each with its connection."""
        with self._lock:
            self._to_drop += number

    def delay(self, milliseconds: int) -> None:
        """Hold every reply back for so long; 0 ends it."""
        self._delay = milliseconds / 1000

    def black_hole(self) -> None:
        """Swallow everything in either direction and keep the connections open, until ``heal``."""
        self._silent = True

    def heal(self) -> None:
        """End all faults; what was swallowed stays lost, so its connections are cut."""
        with self._lock:
            self._to_drop = 0
        self._delay = 0.0
        if self._silent:
            self._silent = False
            self._cut_all()

    # Forwarding.

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
            except OSError:
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(client, server)
            with self._lock:
                self._links.add(link)
                self.connections += 1
            for pump in (self._ask, self._answer):
                threading.Thread(target=self._pump, args=(pump, link), name="proxy", daemon=True).start()

    def _pump(self, pump: Callable[[Link], bool], link: Link) -> None:
        with suppress(OSError):
            while pump(link):
                pass
        self._end(link)

    def _ask(self, link: Link) -> bool:
        said = link.client.recv(CHUNK)
        if self._silent:
            self.swallowed += len(said)
            return bool(said)
        if said and not link.awaits_reply:
            link.awaits_reply = True
            with self._lock:
                self.round_trips += 1
        link.server.sendall(said)
        return bool(said)

    def _answer(self, link: Link) -> bool:
        reply = link.server.recv(CHUNK)
        if self._silent:
            self.swallowed += len(reply)
            return bool(reply)
        first, link.awaits_reply = link.awaits_reply, False
        if reply and first:
            with self._lock:
                drop = self._to_drop > 0
                self._to_drop -= drop
                self.dropped += drop
            if drop:
                return False
        if self._delay:
            time.sleep(self._delay)
        link.client.sendall(reply)
        return bool(reply)

    def _cut_all(self) -> int:
        with self._lock:
            links = list(self._links)
        for link in links:
            self._end(link)
        return len(links)

    def _end(self, link: Link) -> None:
        with self._lock:
            if link not in self._links:
                return
            self._links.remove(link)
        link.cut()
