"""A real Redis Cluster on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from redis.crc import key_slot

from cluster.node import PASSWORD, ClusterNode
from waiting import wait_until

SLOTS = 16384


class Cluster:
    """Primaries that share the slots evenly; the first ones have a replica each.

    Args:
        primaries: At least three, for a failover takes a majority of them.
        replicas: How many primaries have one.
        node_timeout: Milliseconds of silence after which a node counts as gone.
    """

    def __init__(self, primaries: int = 3, replicas: int = 0, node_timeout: int = 1000) -> None:
        self._stack = ExitStack()
        self.nodes = [self._stack.enter_context(ClusterNode(node_timeout)) for _ in range(primaries + replicas)]
        self.primaries, self.replicas = self.nodes[:primaries], self.nodes[primaries:]
        for number, node in enumerate(self.primaries):
            first, last = SLOTS * number // primaries, SLOTS * (number + 1) // primaries - 1
            node.ask("CLUSTER ADDSLOTSRANGE", first, last)
        for node in self.nodes[1:]:
            node.ask("CLUSTER MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus_port)
        wait_until(lambda: all(self._knows_all(node) for node in self.nodes), description="the nodes to meet")
        for replica, primary in zip(self.replicas, self.primaries, strict=False):
            replica.ask("CLUSTER REPLICATE", primary.id)
        wait_until(self.is_whole, description="every slot to be served, every replica to be linked", timeout=30)

    def close(self) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Names two of the nodes."""
        return f"redis+cluster://:{PASSWORD}@{','.join(node.address for node in self.nodes[:2])}"

    def _knows_all(self, node: ClusterNode) -> bool:
        return len(self._table(node)) == len(self.nodes)

    def _table(self, node: ClusterNode) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = node.ask("CLUSTER NODES")
        return found

    def is_whole(self) -> bool:
        """Whether every node that runs says that all is well."""
        running = [node for node in self.nodes if node.is_running]
        fine = all(node.ask("CLUSTER INFO")["cluster_state"] == "ok" for node in running)
        return fine and all(node.ask("INFO", "replication").get("master_link_status", "up") == "up" for node in running)

    def owner(self, key: str) -> ClusterNode:
        """The primary that has a key's slot, as it says itself."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            if node.is_running and node.is_primary and any(low <= slot <= high for low, high in self.slots(node)):
                return node
        raise LookupError(f"nobody has slot {slot}")

    def slots(self, node: ClusterNode) -> list[tuple[int, int]]:
        """First and last of every range of slots that a node says it has."""
        ranges = self._table(node)[node.address]["slots"]
        return [(int(words[0]), int(words[-1])) for words in ranges if words[0].isdigit()]

    # Moving a slot key by key, as redis-cli --cluster reshard does.

    def begin_to_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        target.ask("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, slot: int, source: ClusterNode, target: ClusterNode, most: int = 1000) -> int:
        """Move so many keys of a slot; how many there were."""
        keys = source.ask("CLUSTER GETKEYSINSLOT", slot, most)
        if keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        for node in (target, source, *(each for each in self.primaries if each not in (source, target))):
            node.ask("CLUSTER SETSLOT", slot, "NODE", target.id)

    # Faults at the first primary; each leaves its replica as primary, in time.

    def demote(self) -> None:
        """Have it become a replica, alive."""
        self.replicas[0].ask("CLUSTER FAILOVER")

    def kill(self) -> None:
        self.primaries[0].kill()

    def has_promoted(self) -> bool:
        """Whether its replica is primary."""
        return self.replicas[0].is_primary

    def is_over(self) -> bool:
        """Whether its replica is primary, and it is gone or a replica."""
        first = self.primaries[0]
        return self.replicas[0].is_primary and not (first.is_running and first.is_primary)


@contextmanager
def cluster(primaries: int = 3, replicas: int = 0, node_timeout: int = 1000) -> Iterator[Cluster]:
    """Run a cluster for the length of a ``with`` block."""
    found = Cluster(primaries, replicas, node_timeout)
    try:
        yield found
    finally:
        found.close()
