"""What pytest-docker-tools must take for granted when containers are processes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pytest_docker_tools import exceptions, utils

from .waiting import wait_until

POLL_INTERVAL = 0.05  # seconds


@contextmanager
def quick_polling() -> Iterator[None]:
    """Poll for logs and readiness twenty times a second instead of once."""
    with _replaced("wait_for_callable", _wait_for_callable):
        yield


@contextmanager
def never_inside_a_container() -> Iterator[None]:
    """Reach nodes by their published ports even when the tests themselves run in a container."""
    with _replaced("tests_inside_container", lambda: False):
        yield


def _wait_for_callable(message: str, func: Callable[[], object], timeout: float = 30) -> None:
    print(message)
    if not wait_until(func, timeout, POLL_INTERVAL):
        raise exceptions.TimeoutError(f"Timeout of {timeout}s exceeded")


@contextmanager
def _replaced(name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Replace a function of pytest_docker_tools.utils in every module that imported it by name."""
    original = getattr(utils, name)
    with pytest.MonkeyPatch.context() as patch:
        for module in [*sys.modules.values()]:
            if getattr(module, "__dict__", {}).get(name) is original:
                patch.setattr(module, name, replacement)
        yield
