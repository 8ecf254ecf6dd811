"""The Lua files, bound by the names of their slots."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

LUA = files("celery_inbox.store") / "lua"
SLOT = re.compile(r"^local (\w+)\s*=.*\b(KEYS|ARGV)\[(\d+)\]", re.MULTILINE)
USES = re.compile(r"^-- Uses: (.+)\.$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One move: its text with the includes in front, its hash, and the names of its arguments in order."""

    name: str
    text: str
    sha: str
    names: tuple[str, ...]

    def arguments(self, **given: Any) -> list[Any]:
        """Put keyword arguments in the order of the script's slots.

        Raises:
            TypeError: A slot is missing or unknown.
        """
        if len(given) != len(self.names) or any(name not in given for name in self.names):
            raise TypeError(f"script {self.name} has the slots {', '.join(self.names)}; given were {', '.join(given)}")
        return [given[name] for name in self.names]


def source(name: str) -> str:
    """Read one Lua file."""
    return (LUA / f"{name}.lua").read_text()


def slots(text: str) -> tuple[str, ...]:
    """Names of the ARGV slots of a script, first to last."""
    numbered = {int(number): name for name, array, number in SLOT.findall(text) if array == "ARGV"}
    return tuple(numbered[number] for number in sorted(numbered))


@cache
def script(name: str) -> Script:
    """Read a move with what it uses."""
    text = source(name)
    used = USES.search(text)
    includes = [source(f"include/{include}") for include in used.group(1).split(", ")] if used else []
    whole = "".join([*includes, text])
    return Script(name, whole, sha1(whole.encode()).hexdigest(), slots(text))
