"""The collection of containers: from docker-py's keyword arguments to an order."""

import shlex
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

from docker.errors import NotFound

from .container import Container
from .images import Image, Images
from .order import Order
from .ports import FreePort
from .run import Run
from .volumes import Volumes
from .watchdog import Watchdog

Command: TypeAlias = str | Iterable[str] | None


class Containers:
    """Quacks like docker.models.containers.ContainerCollection."""

    def __init__(
        self, directory: Path, images: Images, volumes: Volumes, watchdog: Watchdog, free_port: FreePort
    ) -> None:
        self._directory = directory
        self._images = images
        self._volumes = volumes
        self._watchdog = watchdog
        self._free_port = free_port
        self._by_id: dict[str, Container] = {}

    @overload
    def run(
        self, image: str | Image, command: Command = None, *, detach: Literal[True], **options: Any
    ) -> Container: ...

    @overload
    def run(
        self, image: str | Image, command: Command = None, *, detach: Literal[False] = False, **options: Any
    ) -> bytes: ...

    def run(
        self, image: str | Image, command: Command = None, *, detach: bool = False, **options: Any
    ) -> Container | bytes:
        """Create and start a container; it is ready, or has ended, when this returns.

        Returns:
            The container; without ``detach=True`` its log after its end, as docker-py does.
        """
        container = self.create(image, command, **options)
        container.start()
        if detach:
            return container
        container.wait()
        return container.logs()

    def create(self, image: str | Image, command: Command = None, **options: Any) -> Container:
        """Create a container; options without meaning for a process are ignored."""
        chosen = image if isinstance(image, Image) else self._images.get(image)
        order = self._order(chosen, command, options)
        run = Run(order, chosen.launcher, self._watchdog, self._free_port)
        container = self._by_id[order.id] = Container(run, forget=self._forget)
        return container

    def get(self, name: str) -> Container:
        """Return the container of that name, id, or beginning of an id."""
        for container in self._by_id.values():
            if container.name == name or container.id.startswith(name):
                return container
        raise NotFound(f"no such container: {name}")

    def list(self, all: bool = False, **_: Any) -> list[Container]:
        containers = [*self._by_id.values()]
        for container in containers:
            container.reload()
        return [container for container in containers if all or container.status == "running"]

    def _forget(self, container: Container) -> None:
        self._by_id.pop(container.id, None)

    def _order(self, image: Image, command: Command, options: Mapping[str, Any]) -> Order:
        container_id = uuid.uuid4().hex + uuid.uuid4().hex
        home = self._directory / container_id[:12]
        home.mkdir(parents=True)
        return Order(
            id=container_id,
            name=options.get("name") or f"node-{container_id[:12]}",
            image=image,
            home=home,
            command=_command(command) or image.command,
            environment=_environment(options.get("environment")),
            labels=options.get("labels") or {},
            network=options.get("network") or "bridge",
            ports={_port(inside): _host_port(here) for inside, here in (options.get("ports") or {}).items()},
            binds=self._binds(options.get("volumes") or {}),
            working_directory=options.get("working_dir") or image.working_directory,
        )

    def _binds(self, volumes: Mapping[str, Mapping[str, str]] | Iterable[str]) -> dict[str, Path]:
        if isinstance(volumes, Mapping):
            pairs = [(name, mount["bind"]) for name, mount in volumes.items()]
        else:
            pairs = [(name, rest.split(":")[0]) for name, _, rest in (text.partition(":") for text in volumes)]
        return {inside: self._place(name) for name, inside in pairs}

    def _place(self, name: str) -> Path:
        return Path(name) if name.startswith("/") else self._volumes.get(name).path


def _command(command: Command) -> tuple[str, ...]:
    return tuple(shlex.split(command) if isinstance(command, str) else command or ())


def _environment(given: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    if isinstance(given, Mapping):
        return {name: str(value) for name, value in given.items()}
    return {name: value for name, _, value in (pair.partition("=") for pair in given or ())}


def _port(inside: str | int) -> str:
    return str(inside) if "/" in str(inside) else f"{inside}/tcp"


def _host_port(here: Any) -> int | None:
    """Read docker-py's forms: None, 6379, "6379" or ("127.0.0.1", 6379)."""
    port = here[1] if isinstance(here, tuple) else here
    return int(port) if port else None
