"""What stands in a Markdown file: code blocks and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FILE_NAME = re.compile(r"# (\S+\.py)$")


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    line: int
    """Number of its first line in the file."""
    text: str

    @property
    def file(self) -> str | None:
        """The name in the block's first line, if the block is the content of a file."""
        named = FILE_NAME.match(self.text.partition("\n")[0])
        return named[1] if named else None


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of one language, top to bottom."""
    return [block for block in _blocks(page.read_text()) if block.language == language]


def _blocks(text: str) -> Iterator[Block]:
    language, start, lines = None, 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("```"):
            lines.append(line)
        elif language is None:
            language, start, lines = line[3:].strip(), number + 1, []
        else:
            yield Block(language, start, "\n".join(lines) + "\n")
            language = None


def script(page: Path) -> str:
    """All Python blocks of a page that are no files, on the lines where they stand, so that a traceback names these."""
    lines: list[str] = []
    for block in blocks(page, "python"):
        if block.file is None:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n"


def table(page: Path, heading: str) -> dict[str, list[str]]:
    """The rows of the table whose first column is called so, by that column without its backticks."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in _table_lines(page.read_text(), f"| {heading} |")
    ]
    return {first.strip("`"): rest for first, *rest in rows}


def _table_lines(text: str, beginning: str) -> Iterator[str]:
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(beginning):
            next(lines)
            break
    for line in lines:
        if not line.startswith("|"):
            return
        yield line
