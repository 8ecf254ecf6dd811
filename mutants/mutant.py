"""A change of one place that breaks a promise, and who should notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Stale(Exception):
    """A mutant's text is not in its file, or not once: the source has changed, and the mutant must follow."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken copy of the library."""

    name: str
    """What it does wrong."""
    file: str
    """Below ``src/celery_inbox``."""
    old: str
    """Stands in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """Arguments of pytest: the narrowest tests that should kill it."""
    walk: tuple[str, ...] = ()
    """Arguments of ``python -m model``, where the explorer should find it too."""

    @property
    def place(self) -> str:
        """Where it lives, in a word."""
        return {".lua": "Lua", ".py": "Python"}[Path(self.file).suffix]

    def mutated(self, source: Path) -> str:
        """The file's text with the change.

        Args:
            source: The directory ``celery_inbox``.

        Raises:
            Stale: The old text is not there exactly once.
        """
        text = (source / self.file).read_text()
        found = text.count(self.old)
        if found != 1:
            raise Stale(f"{self.name} ({self.file}): its text is there {found} times")
        return text.replace(self.old, self.new)
