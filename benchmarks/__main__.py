"""``make bench``: start a server, measure, print a table, write ``out/bench/send.json``."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks import send
from benchmarks.clock import Cost
from celery_inbox.embedded import Server

TARGETS = {"inbox.send()": 4, "inbox.send_many(100)": 40}
"""How many times cheaper than ``task.delay()`` the contract wants them."""


def table(costs: list[Cost]) -> Table:
    """Costs with their ratio to the first."""
    peer = costs[0]
    drawn = Table(title=f"Producer's cost of one message, median (Python {platform.python_version()})")
    for heading in ("", "CPU µs", "least to most", "wall µs", f"cheaper than {peer.name}", "wanted"):
        drawn.add_column(heading, justify="left" if not heading else "right")
    for cost in costs:
        low, high = cost.cpu_spread
        wanted = f"{TARGETS[cost.name]} x" if cost.name in TARGETS else ""
        ratio = f"{cost.cheaper:.1f} x"
        drawn.add_row(cost.name, f"{cost.cpu:.1f}", f"{low:.1f} to {high:.1f}", f"{cost.wall:.1f}", ratio, wanted)
    return drawn


@click.command()
@click.option("--rounds", default=9, help="Rounds, each with every subject in turn.")
@click.option("--runs", default=1000, help="Messages of each subject in a round.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/bench"), help="Where the figures go.")
def main(rounds: int, runs: int, out: Path) -> None:
    """Measure what a producer pays."""
    with Server() as server:
        costs = send.run(server.url, rounds, runs)
    Console(width=110).print(table(costs))
    out.mkdir(parents=True, exist_ok=True)
    (out / "send.json").write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")


if __name__ == "__main__":
    main()
