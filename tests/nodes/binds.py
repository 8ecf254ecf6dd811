"""Paths inside a container, rewritten to the directories that stand for them."""

import re
from collections.abc import Mapping
from pathlib import Path


def rewrite(text: str, binds: Mapping[str, Path]) -> str:
    """Replace every bound path in ``text``; ``/srv/app`` is not ``/app``."""
    for inside, here in binds.items():
        text = str(here).join(re.split(rf"(?<![\w./-]){re.escape(inside)}(?![\w.-])", text))
    return text


def resolve(path: str, binds: Mapping[str, Path]) -> Path | None:
    """Return the place of ``path`` on this machine, None when no bind covers it."""
    for inside, here in binds.items():
        if Path(path).is_relative_to(inside):
            return here / Path(path).relative_to(inside)
    return None
