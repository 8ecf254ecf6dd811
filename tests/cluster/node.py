"""Servers that know of each other."""

from __future__ import annotations

import os
import signal
from typing import Any

import redis

from celery_inbox.embedded import Server
from celery_inbox.embedded.local_server import HOST, free_port

PASSWORD = "the-same-on-every-node"


class Node(Server):
    """One of several servers with the same password; further settings stand in its file.

    Args:
        settings: Lines of the server's configuration.
    """

    def __init__(self, *settings: str) -> None:
        super().__init__()
        self._settings = settings

    def _write_settings(self) -> None:
        self._password = PASSWORD
        super()._write_settings()
        with (self.directory / "server.conf").open("a") as file:
            file.write("\n".join([f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0", *self._settings]) + "\n")

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    @property
    def is_primary(self) -> bool:
        """Whether it says so; one that just changes ends its connections."""
        try:
            return bool(self.ask("INFO", "replication")["role"] == "master")
        except redis.ConnectionError:
            return False

    def ask(self, *words: Any) -> Any:
        """Run one command on this server, whatever it knows of others."""
        with redis.Redis.from_url(self.url, socket_timeout=5, protocol=2) as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        """SIGKILL, as a machine that fails."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()


class ClusterNode(Node):
    """A node of a cluster; its bus listens on a free port."""

    def __init__(self, node_timeout: int) -> None:
        self.bus_port = free_port()
        super().__init__(
            "cluster-enabled yes",
            f"cluster-port {self.bus_port}",
            f"cluster-node-timeout {node_timeout}",
            "cluster-replica-validity-factor 0",
            "cluster-allow-replica-migration no",
        )

    @property
    def id(self) -> str:
        return _text(self.ask("CLUSTER MYID"))


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)
