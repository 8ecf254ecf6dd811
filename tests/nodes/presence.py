"""What to do where a server is not installed."""

import os

import pytest


def skip_without(is_there: bool, package: str) -> None:
    """Skip a test that needs a Debian package; CI has to have it, so that its launcher fails there."""
    if not is_there and not os.environ.get("CI"):
        pytest.skip(f"{package} is not installed; `make servers` does it, or says how")
