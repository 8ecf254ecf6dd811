"""The part of a Dockerfile that matters to a process: its variables, its command, its working directory."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template


@dataclass
class Dockerfile:
    """The last stage as read; RUN, COPY and FROM leave no trace."""

    env: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    working_directory: str = ""


def read(path: Path, buildargs: Mapping[str, str]) -> Dockerfile:
    """Read the file at ``path``; ``buildargs`` win over the defaults of ARG."""
    found = Dockerfile()
    arguments: dict[str, str] = {}
    for instruction, text in _instructions(path.read_text()):
        known = {**arguments, **found.env}
        if instruction == "FROM":
            found = Dockerfile()
        elif instruction == "ARG":
            arguments.update(_defaults(text, known), **_given(text, buildargs))
        elif instruction == "ENV":
            found.env.update(_defaults(text, known))
        elif instruction == "CMD":
            found.command = _command(text, known)
        elif instruction == "WORKDIR":
            found.working_directory = Template(text).safe_substitute(known)
    return found


def _instructions(source: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in source.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        instruction, _, text = line.strip().partition(" ")
        if text:
            yield instruction.upper(), text.strip()


def _defaults(text: str, known: Mapping[str, str]) -> dict[str, str]:
    name, space, value = text.partition(" ")
    pairs = [f"{name}={value}"] if space and "=" not in name else shlex.split(text)
    split = (pair.partition("=") for pair in pairs)
    return {name: Template(value).safe_substitute(known) for name, _, value in split}


def _given(text: str, buildargs: Mapping[str, str]) -> dict[str, str]:
    names = {pair.partition("=")[0] for pair in shlex.split(text)}
    return {name: value for name, value in buildargs.items() if name in names}


def _command(text: str, known: Mapping[str, str]) -> tuple[str, ...]:
    if text.startswith("["):
        return tuple(json.loads(text))
    return tuple(shlex.split(Template(text).safe_substitute(known)))
