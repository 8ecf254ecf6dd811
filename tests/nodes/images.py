"""Images: a name, a launcher and what their Dockerfile says about running them."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound

from .command import launch_command
from .dockerfile import read
from .launchers import LAUNCHERS, launcher_named
from .order import Launcher


@dataclass(frozen=True)
class Image:
    """Quacks like docker.models.images.Image."""

    tags: list[str]
    launcher: Launcher
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    working_directory: str = ""
    id: str = field(default_factory=lambda: f"sha256:{uuid.uuid4().hex}")


class Images:
    """Quacks like docker.models.images.ImageCollection; nothing is downloaded, no layer is built."""

    def __init__(self) -> None:
        self._known: dict[str, Image] = {}

    def build(
        self,
        path: str | None = None,
        tag: str | None = None,
        buildargs: Mapping[str, str] | None = None,
        dockerfile: str | None = None,
        **_: Any,
    ) -> tuple[Image, Iterator[dict[str, str]]]:
        """Read the Dockerfile in ``path``; its image runs commands with this Python and what is installed in it."""
        described = read(Path(path or ".") / (dockerfile or "Dockerfile"), buildargs or {})
        tags = [tag] if tag else []
        image = Image(tags, launch_command, described.env, described.command, described.working_directory)
        self._remember(image)
        return image, iter(())

    def pull(self, repository: str, tag: str | None = None, **_: Any) -> Image:
        return self.get(f"{repository}:{tag}" if tag else repository)

    def get(self, name: str) -> Image:
        """Return a built image by id or tag, or the image that stands for a launcher, like ``redis:latest``."""
        if name not in self._known:
            launcher = launcher_named(name)
            if launcher is None:
                raise ImageNotFound(f"no image {name}: neither built here nor one of {', '.join(sorted(LAUNCHERS))}")
            self._remember(Image([name], launcher))
        return self._known[name]

    def _remember(self, image: Image) -> None:
        self._known.update(dict.fromkeys([image.id, *image.tags], image))
