"""Volumes: one directory each."""

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import NotFound


@dataclass(eq=False)
class Volume:
    """Quacks like docker.models.volumes.Volume."""

    name: str
    path: Path
    labels: dict[str, str]
    collection: "Volumes"

    @property
    def id(self) -> str:
        return self.name

    @property
    def attrs(self) -> dict[str, Any]:
        return {"Name": self.name, "Mountpoint": str(self.path), "Labels": self.labels}

    def remove(self, *_: bool, **__: bool) -> None:
        self.collection.forget(self)
        shutil.rmtree(self.path, ignore_errors=True)


class Volumes:
    """Quacks like docker.models.volumes.VolumeCollection."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._by_name: dict[str, Volume] = {}

    def create(self, name: str | None = None, labels: dict[str, str] | None = None, **_: Any) -> Volume:
        path = self._directory / uuid.uuid4().hex
        path.mkdir(parents=True)
        name = name or path.name
        volume = self._by_name[name] = Volume(name, path, labels or {}, self)
        return volume

    def get(self, name: str) -> Volume:
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound(f"volume {name} not found") from None

    def forget(self, volume: Volume) -> None:
        self._by_name.pop(volume.name, None)
