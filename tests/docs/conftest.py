"""A project of its own for the snippets: the files that the README shows, and a database that nobody else uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from .markdown import README, blocks

DATABASE = 9


@pytest.fixture
def own_url(redis_url: str) -> Iterator[str]:
    """Name a database of the shared server that is empty before and after."""
    url = f"{redis_url.rpartition('/')[0]}/{DATABASE}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write the files that the README shows into a directory."""
    for block in blocks(README, "python"):
        if block.file:
            file = tmp_path / block.file
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)
    return tmp_path


@pytest.fixture
def environment(own_url: str, project: Path) -> dict[str, str]:
    """Have a command find this Python's programs, the project and the server."""
    programs = Path(sys.executable).parent
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CELERY_INBOX", "DJANGO_"))},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "REDIS_URL": own_url,
    }
