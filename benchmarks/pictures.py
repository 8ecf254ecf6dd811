"""Draw the bars of a sheet as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.sheet import Bars, Sheet

matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402  (after the choice of what draws)

WIDTH = 0.8
"""Of a group of bars, where the next group is 1 away."""
FORMATS = ("png", "svg")


def draw(sheet: Sheet, folder: Path) -> list[str]:
    """Write the pictures of a sheet; their names without the suffix."""
    names = []
    for number, bars in enumerate(sheet.bars):
        name = f"{sheet.name}-{number + 1}"
        figure = picture(bars)
        for suffix in FORMATS:
            figure.savefig(folder / f"{name}.{suffix}", dpi=110, metadata={"Date": None} if suffix == "svg" else None)
        pyplot.close(figure)
        names.append(name)
    return names


def picture(bars: Bars) -> Any:
    """Bars with their spread and their height in figures."""
    pyplot.rcParams["svg.hashsalt"] = "celery-inbox"
    figure, axes = pyplot.subplots(figsize=(9, 4.2), layout="constrained")
    width = WIDTH / len(bars.heights)
    for number, (legend, heights) in enumerate(bars.heights.items()):
        places = [group - WIDTH / 2 + (number + 0.5) * width for group in range(len(heights))]
        spreads = zip(heights, bars.spreads[legend], strict=True)
        down, up = zip(*((height - low, high - height) for height, (low, high) in spreads), strict=True)
        drawn = axes.bar(places, heights, width * 0.92, yerr=(down, up), capsize=2, label=legend)
        axes.bar_label(drawn, labels=[f"{height:,.0f}" for height in heights], padding=2, fontsize=8)
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_xticks(range(len(bars.groups)), bars.groups)
    axes.set_ylabel(bars.unit)
    axes.set_title(bars.title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
