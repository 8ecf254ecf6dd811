"""A copy of the project in which a mutant lives, so that the checkout never does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mutants.mutant import Mutant

ROOT = Path(__file__).parents[1]
PARTS = ("src", "tests", "examples", "pyproject.toml", "README.md")
LONGEST = 600.0
"""Seconds that a run may take; a mutant that hangs its tests is killed, too."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended in the copy."""

    code: int
    """Exit status; 1 is a failed test or a broken promise, what is above is no answer."""
    seconds: float
    said: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the tree in a directory of its own."""

    root: Path

    @property
    def source(self) -> Path:
        """Where the library is."""
        return self.root / "src" / "celery_inbox"

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Let a mutant live here for a while.

        Raises:
            Stale: It does not fit the source any more.
        """
        file = self.source / mutant.file
        original = file.read_text()
        file.write_text(mutant.mutated(self.source))
        try:
            yield
        finally:
            file.write_text(original)

    def python(self, *arguments: str) -> Ran:
        """Run Python so that it, and every worker that it starts, imports this copy."""
        path = os.pathsep.join(str(self.root / each) for each in ("src", "tests"))
        # Without bytecode: two mutants of one second and one size would be taken for each other.
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        started = time.monotonic()
        try:
            ended = subprocess.run(
                (sys.executable, *arguments),
                cwd=self.root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ran(1, time.monotonic() - started, f"killed after {LONGEST:.0f} s")
        return Ran(ended.returncode, time.monotonic() - started, ended.stdout)

    def pytest(self, *arguments: str) -> Ran:
        """Run tests up to the first that fails."""
        return self.python("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments)

    def imported_from(self) -> Path:
        """Where Python finds the library when it runs here."""
        said = self.python("-c", "import celery_inbox; print(celery_inbox.__file__)").said
        return Path(said.strip()).parent


@contextmanager
def copy_of_tree() -> Iterator[Copy]:
    """Make a copy, and see that it is the one that is imported."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        root = Path(directory).resolve()
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(ROOT / part, root / part)
        copy = Copy(root)
        found = copy.imported_from()
        if found != copy.source:
            raise RuntimeError(f"{found} is imported instead of the copy: the mutants would not be seen")
        yield copy


def failed_files(said: str) -> set[str]:
    """Read which files have failed tests from what pytest said."""
    lines = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return {line.partition("::")[0] for line in lines if line.startswith("tests/")}
