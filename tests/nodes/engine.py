"""The engine that quacks like docker.DockerClient while its containers are local processes."""

import tempfile
from pathlib import Path

from .containers import Containers
from .images import Images
from .networks import Networks
from .ports import FreePort, free_port
from .volumes import Volumes
from .watchdog import Watchdog


class ProcessEngine:
    """Everything it starts or writes ends with ``close()``, or with the death of this process, however it dies."""

    def __init__(self, free_port: FreePort = free_port) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="pytest-celery-"))
        self._watchdog = Watchdog(self.root)
        self.images = Images()
        self.networks = Networks(self)
        self.volumes = Volumes(self.root / "volumes")
        self.containers = Containers(self.root / "containers", self.images, self.volumes, self._watchdog, free_port)

    def ping(self) -> bool:
        return True

    def close(self) -> None:
        for container in self.containers.list(all=True):
            container.remove(force=True)
        self._watchdog.close()
