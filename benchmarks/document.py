"""Put tables and pictures into ``docs/benchmarks.md``, between the marks that stand there for each part."""

from __future__ import annotations

import re
from pathlib import Path


def put(page: Path, part: str, text: str) -> None:
    """Replace what stands between ``<!-- part -->`` and ``<!-- /part -->``.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = f"<!-- {part} -->", f"<!-- /{part} -->"
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    written, found = marked.subn(lambda _: f"{begin}\n{text}\n{end}", page.read_text())
    if not found:
        raise ValueError(f"{page} has no place for {part}: write {begin} and {end} where it belongs")
    page.write_text(written)


def picture(name: str, title: str) -> str:
    """A picture as Markdown has it; a click shows the one that scales."""
    return f"[![{title}](benchmarks/{name}.png)](benchmarks/{name}.svg)"
