"""Networks in name only: every node is reachable on the loopback interface."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from docker.errors import NotFound


@dataclass(eq=False)
class Network:
    """Quacks like docker.models.networks.Network."""

    name: str
    client: Any
    labels: dict[str, str]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def attrs(self) -> dict[str, Any]:
        return {"Name": self.name, "Id": self.id, "Labels": self.labels}

    def remove(self) -> None:
        self.client.networks.forget(self)


class Networks:
    """Quacks like docker.models.networks.NetworkCollection."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._by_name: dict[str, Network] = {}

    def create(self, name: str, labels: dict[str, str] | None = None, **_: Any) -> Network:
        network = self._by_name[name] = Network(name, self._client, labels or {})
        return network

    def get(self, name: str) -> Network:
        for network in self._by_name.values():
            if name in (network.name, network.id):
                return network
        raise NotFound(f"network {name} not found")

    def forget(self, network: Network) -> None:
        self._by_name.pop(network.name, None)
