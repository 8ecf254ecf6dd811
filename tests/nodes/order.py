"""What a container is asked to be and how its launcher wants to do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .ports import FreePort

if TYPE_CHECKING:
    from .images import Image


@dataclass(frozen=True)
class Order:
    """One container as it was asked for."""

    id: str
    """64 hexadecimal digits, as Docker's."""
    name: str
    image: "Image"
    home: Path
    """Directory of the container's own; gone when it is removed."""
    command: tuple[str, ...]
    """Empty when neither the caller nor the image names one."""
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    network: str
    ports: Mapping[str, int | None]
    """Port inside (``6379/tcp``) to the port wanted on this machine, None for any."""
    binds: Mapping[str, Path]
    """Path inside to the directory it stands for."""
    working_directory: str
    """Path inside; empty for the first bind."""

    @property
    def short_id(self) -> str:
        return self.id[:12]

    def port(self, inside: str, free_port: FreePort) -> int:
        return self.ports.get(inside) or free_port()


@dataclass(frozen=True)
class Plan:
    """How to run an order; a restart runs the same plan again."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    """Port inside to the port that stands for it on this machine."""
    ready_line: str = ""
    """Part of a log line that says the start is over; empty when running is enough."""


Launcher: TypeAlias = Callable[[Order, FreePort], Plan]
