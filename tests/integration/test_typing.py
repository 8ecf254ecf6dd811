"""TYP-1: type checkers in strict mode accept what a user writes and find what a user gets wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RIGHT, WRONG = HERE / "typed_bot.py", HERE / "wrong_bot.py"
LIMIT = 120.0  # seconds
MYPY = "[mypy]\nstrict = true\n[mypy-celery.*]\nignore_missing_imports = true\n"
PYRIGHT = {"typeCheckingMode": "strict", "reportMissingTypeStubs": "none"}
"""Celery has no types; but for that, as strict as can be."""
COMMANDS = {
    "mypy": ["mypy", "--config-file", "mypy.ini"],
    "pyright": ["basedpyright", "--project", "pyrightconfig.json", "--level", "error"],
}
FOUND = re.compile(r"\b(typed_bot|wrong_bot)\.py:(\d+)(?::\d+)?(?: -|:) error: ")


def errors(checker: str, sample: Path, project: Path) -> tuple[set[int], str]:
    """Lines with errors, and what the checker said."""
    (project / sample.name).write_text(sample.read_text())
    (project / "mypy.ini").write_text(MYPY)
    config = PYRIGHT | {"include": [sample.name], "pythonVersion": "3.11"}
    (project / "pyrightconfig.json").write_text(json.dumps(config))
    command = [*COMMANDS[checker], *(["--pythonpath", sys.executable] if checker == "pyright" else []), sample.name]
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    said = ended.stdout + ended.stderr
    lines = {int(line) for _, line in FOUND.findall(said)}
    assert (ended.returncode != 0) == bool(lines), said
    return lines, said


@pytest.mark.parametrize("checker", COMMANDS)
def test_a_strict_checker_accepts_what_the_docs_tell_a_user_to_write(checker: str, tmp_path: Path) -> None:
    """Handlers of both colours, batches, receipts, errors, options, moves: nothing is unknown or wrong."""
    lines, said = errors(checker, RIGHT, tmp_path)
    assert lines == set(), said


@pytest.mark.parametrize("checker", COMMANDS)
def test_a_strict_checker_finds_each_mistake_and_nothing_else(checker: str, tmp_path: Path) -> None:
    """The lines marked `wrong`, every one of them and no other."""
    lines, said = errors(checker, WRONG, tmp_path)
    marked = {number for number, line in enumerate(WRONG.read_text().splitlines(), 1) if "# wrong: " in line}
    assert lines == marked, said
