"""The house rules of the Python files, as code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import celery_inbox

ROOM = Path(celery_inbox.__file__).parent
MODULES = sorted(ROOM.rglob("*.py"))
LIMIT = 420
LONGER = {"store/memory.py": 520, "store/redis.py": 600, "inbox.py": 560}
"""Known to be longer: the whole protocol, its calls, the public face."""
FORBIDDEN = {"utils", "util", "common", "helpers", "helper", "base", "core", "misc", "tools"}
TWO_IDEAS = {
    "observe/log.py": "its promise names two things that it keeps quiet about",
    "worker/dispatcher.py": "the loop does both",
    "worker/identity.py": "two kinds of names",
}

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOM)))


def name_of(module: Path) -> str:
    return str(module.relative_to(ROOM))


@every_module
def test_a_module_begins_with_one_sentence(module: Path) -> None:
    """One line that ends with a full stop; what follows after a blank line explains it."""
    first, *rest = (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n")
    assert re.fullmatch(r"\S.*[.?]", first), first
    assert not re.search(r"[.?!] [A-Z]", first), f"more than one sentence: {first}"
    assert not rest or rest[0] == "", "the sentence takes more than a line"


@every_module
def test_a_module_has_one_idea(module: Path) -> None:
    """Its sentence needs no "and" outside a list; who does is named with the reason."""
    first = (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n")[0]
    joined = re.search(r"\band\b", first) is not None
    assert not joined or name_of(module) in TWO_IDEAS or ", " in first, first


@every_module
def test_a_module_has_a_telling_name(module: Path) -> None:
    """Nothing is put where anything could be."""
    assert not FORBIDDEN & {*module.relative_to(ROOM).with_suffix("").parts}


@every_module
def test_a_module_can_be_read_in_one_sitting(module: Path) -> None:
    """420 lines; the longer ones may not grow."""
    lines = len(module.read_text().splitlines())
    assert lines <= LONGER.get(name_of(module), LIMIT)


def test_the_exceptions_exist() -> None:
    """A list of exceptions is not a museum."""
    assert {*LONGER, *TWO_IDEAS} <= {name_of(module) for module in MODULES}


def imports(module: Path) -> set[str]:
    """Modules that a module imports when it runs, not those of type checking alone."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("module", sorted((ROOM / "store").glob("*.py")), ids=lambda module: module.name)
def test_the_store_does_not_know_celery(module: Path) -> None:
    """Arrows point down only."""
    assert not [name for name in imports(module) if re.match(r"celery\b(?!_)", name)]
    assert not [name for name in imports(module) if re.match(r"celery_inbox\.(worker|observe|inbox|cli|testing)", name)]


@pytest.mark.parametrize("module", sorted((ROOM / "worker").glob("*.py")), ids=lambda module: module.name)
def test_the_workers_do_not_know_redis(module: Path) -> None:
    """They know the store."""
    assert not [name for name in imports(module) if re.match(r"redis\b|celery_inbox\.store\.redis", name)]
