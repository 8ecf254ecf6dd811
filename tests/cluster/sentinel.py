"""A primary, its replica, and three Sentinels that watch them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from celery_inbox.embedded.lifeline import Lifeline
from celery_inbox.embedded.source import find_binary
from cluster.node import PASSWORD, Node
from waiting import wait_until

SERVICE = "mine"
SENTINELS = 3
LINK = "redis-sentinel"
"""A server that is called by this name is a Sentinel."""


class SentinelNode(Node):
    """Watches a primary.

    Args:
        primary: Whom.
        down_after: Milliseconds of silence after which it counts as gone.
    """

    def __init__(self, primary: Node, down_after: int) -> None:
        super().__init__(
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} {down_after}",
            f"sentinel failover-timeout {SERVICE} 6000",
            f"sentinel sentinel-pass {PASSWORD}",
        )

    def start(self) -> None:
        self._bin = TemporaryDirectory()
        link = Path(self._bin.name) / LINK
        link.symlink_to(find_binary())
        self._lifeline = Lifeline(link)
        self._launch_on_a_free_port()

    def close(self) -> None:
        super().close()
        self._bin.cleanup()

    def _write_settings(self) -> None:
        self._password = PASSWORD
        lines = ["bind 127.0.0.1", f"port {self._port}", f"requirepass {PASSWORD}", *self._settings]
        (self.directory / "server.conf").write_text("\n".join(lines) + "\n")


class Watched:
    """Two servers of which one is primary; that one takes no writes while it has no replica.

    Sentinel tells a primary that it has replaced, but that lives, only ten seconds later. What it accepts until then is
    lost.
    """

    def __init__(self, down_after: int = 1000) -> None:
        self._stack = ExitStack()
        self.primary = self._stack.enter_context(Node("min-replicas-to-write 1"))
        self.replica = self._stack.enter_context(Node(f"replicaof 127.0.0.1 {self.primary.port}"))
        self.sentinels = [self._stack.enter_context(SentinelNode(self.primary, down_after)) for _ in range(SENTINELS)]
        wait_until(self._is_watched, description="the Sentinels to know each other and the replica", timeout=30)

    def close(self) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        hosts = ",".join(each.address for each in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}?sentinel_password={PASSWORD}"

    @property
    def kombu_url(self) -> str:
        """As a Celery broker has it."""
        return ";".join(f"sentinel://:{PASSWORD}@{each.address}/0" for each in self.sentinels)

    def _is_watched(self) -> bool:
        if self.replica.ask("INFO", "replication")["master_link_status"] != "up":
            return False
        seen = [each.ask("SENTINEL MASTERS")[SERVICE] for each in self.sentinels]
        return all(each["num-other-sentinels"] == SENTINELS - 1 and each["num-slaves"] == 1 for each in seen)

    # Faults; each leaves the other server as primary, in time.

    def demote(self) -> None:
        """Have the primary become a replica, alive."""
        self.sentinels[0].ask("SENTINEL FAILOVER", SERVICE)

    def kill(self) -> None:
        self.primary.kill()

    def has_promoted(self) -> bool:
        """Whether the other server is primary."""
        return self.replica.is_primary

    def is_over(self) -> bool:
        """Whether the other server is primary, and the old one is gone or a replica."""
        return self.replica.is_primary and not (self.primary.is_running and self.primary.is_primary)


@contextmanager
def watched() -> Iterator[Watched]:
    """Run them for the length of a ``with`` block."""
    found = Watched()
    try:
        yield found
    finally:
        found.close()
