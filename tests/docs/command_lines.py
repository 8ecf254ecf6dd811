"""The ``celery`` command lines of files that deploy, as the real command line reads them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from celery import Celery
from celery.bin.base import CLIContext
from celery.bin.celery import celery
from celery.bin.worker import worker

from celery_inbox.cli import inbox

from .markdown import ROOT

DEPLOY = ROOT / "deploy"
IN_TEXT = re.compile(r"(?<![\w\"'\[])celery -A [^`|()#\n]+?(?=\s*(?:[`|()#\n]|  |$))")


def documents(file: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file."""
    return list(yaml.safe_load_all(file.read_text()))


def values(node: Any) -> Iterator[Any]:
    """A YAML value and all that it holds."""
    yield node
    if isinstance(node, (dict, list)):
        for each in node.values() if isinstance(node, dict) else node:
            yield from values(each)


def command_lines(file: Path) -> list[list[str]]:
    """Every ``celery -A …`` of a file, comments included, as words."""
    text = file.read_text()
    found = [shlex.split(line.replace("%%", "%").replace("%i", "1")) for line in IN_TEXT.findall(text)]
    if file.suffix == ".yaml":
        lists = [each for document in documents(file) for each in values(document) if isinstance(each, list)]
        found += [each for each in lists if each[:1] == ["celery"]]
    found += [json.loads(line) for line in re.findall(r"^CMD (\[.+\])$", text, re.MULTILINE)]
    return [[Path(words[0]).name, *words[1:]] for words in found]


def parsed(words: list[str]) -> dict[str, Any]:
    """The options of a command line by name; an option or value that does not exist raises click's error."""
    assert words[:2] == ["celery", "-A"], words
    name, *rest = words[3:]
    if name == "inbox":
        name, *rest = rest
        found = inbox.get_command(click.Context(inbox), name)
    else:
        found = worker if name == "worker" else None
    assert found is not None, f"no such command: {words}"
    told = CLIContext(app=Celery("deploy", set_as_current=False), no_color=True, workdir=None, quiet=True)
    return dict(found.make_context(name, rest, parent=click.Context(celery, obj=told)).params)
