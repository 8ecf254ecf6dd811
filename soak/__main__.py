"""Soak: ``python -m soak --minutes 60``; the exit status is 0 if every promise held."""

import os
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from random import Random
from types import FrameType
from typing import NoReturn

import click
import psutil
from rich.console import Console
from rich.markup import escape

from celery_inbox.testing.history import now_ms
from soak.chaos import Chaos
from soak.figures import Figures
from soak.ground import ROOT, Ground
from soak.judge import BOUND, Broken, Judge
from soak.load import Load
from soak.strikes import Strikes

OUT = ROOT / "out" / "soak"
ROUND = 60.0
"""Seconds from one report to the next: a storm, then the calm in which everything must move again."""
STORM = 40.0
"""Seconds of faults in a round."""
LOOK = 0.5
"""Seconds between two looks at what was written down."""
DRAIN = 90.0
"""Seconds after the last message within which everything must have ended."""


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1), default=5, show_default=True, help="How long; a drain follows.")
@click.option("--seed", default="", help="Of load and faults; a new one if it is not given.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, help="Directory for histories and what broke.")
def main(minutes: float, seed: str, out: Path) -> None:
    """Run random load and random faults against real workers, and judge what they did."""
    seed = seed or secrets.token_hex(4)
    console = Console(highlight=False, width=120, soft_wrap=True)
    console.print(
        f"[bold]celery-inbox soak[/]  {minutes:g} minutes, seed [bold]{seed}[/]  (again: make soak SEED={seed})"
    )
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    end_in_order()
    sys.exit(Soak(console, seed, out.resolve()).run(60 * minutes))


def end_in_order() -> None:
    """Let Ctrl-C and its kin leave every ``with`` block; a second one does not disturb that."""
    endings = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        for ending in endings:
            signal.signal(ending, signal.SIG_IGN)
        sys.exit(128 + number)

    for ending in endings:
        signal.signal(ending, end)


class Soak:
    """One run from the first message to the drain."""

    def __init__(self, console: Console, seed: str, out: Path) -> None:
        self.console = console
        self.seed = seed
        self.out = out
        self.strikes = Strikes()

    def run(self, seconds: float) -> int:
        """Soak for so long; the exit status."""
        began, cpu = time.monotonic(), cpu_seconds()
        with Ground(self.out, Random(self.seed)) as ground:
            for side in ground.sides:
                self.console.print(f"  {side}")
            self.loads = [Load(side, self.seed) for side in ground.sides]
            self.judges = [Judge(load.side, load, self.strikes) for load in self.loads]
            self.chaos = Chaos(ground, self.strikes, self.seed)
            self.figures = Figures(self.console, ground, self.judges, self.chaos)
            try:
                self._rounds(seconds)
            except Broken as broken:
                return self._give_up(ground, broken)
            lasted = time.monotonic() - began
            share = (cpu_seconds() - cpu) / lasted
        self.console.print(
            f"[bold green]every promise held[/]  seed {self.seed}, {lasted:.0f} s, {share:.0%} of a core"
        )
        self.console.print(f"  faults: {', '.join(f'{n} {name}' for name, n in sorted(self.strikes.counts.items()))}")
        return 0

    def _rounds(self, seconds: float) -> None:
        began = time.monotonic()
        for load in self.loads:
            load.start()
        while (left := began + seconds - time.monotonic()) > LOOK:
            self._storm(min(STORM, left * STORM / ROUND))
            self._calm(began + seconds)
            self.figures.show((time.monotonic() - began) / 60)
        for load in self.loads:
            if not load.stop(DRAIN):
                raise Broken(f"{load.side}: the senders do not come to an end")
        for judge in self.judges:
            judge.drain(DRAIN)
        self.console.print("  drained: nothing waits, nothing runs, the sums are right")
        self.figures.show((time.monotonic() - began) / 60)

    def _storm(self, seconds: float) -> None:
        self.chaos.start()
        try:
            self._watch(time.monotonic() + seconds)
        finally:
            self.chaos.stop()

    def _calm(self, ends_at: float) -> None:
        calm_since = now_ms()
        least, most = time.monotonic() + (ROUND - STORM) / 2, time.monotonic() + BOUND + 2
        while time.monotonic() < min(most, max(least, ends_at)):
            self.chaos.tend()
            self._watch(time.monotonic() + LOOK)
            for judge in self.judges:
                judge.assert_moving(calm_since)

    def _watch(self, until: float) -> None:
        while time.monotonic() < until:
            for load, judge in zip(self.loads, self.judges, strict=True):
                if load.error is not None:
                    raise load.error
                judge.look()
            time.sleep(min(LOOK, max(0.0, until - time.monotonic())))

    def _give_up(self, ground: Ground, broken: Broken) -> int:
        where = self.out / "broken.txt"
        faults = [str(strike) for side in ground.sides for strike in self.strikes.of(side.name)]
        logs = [
            f"--- {side.name}\n{worker.logs().decode(errors='replace')}"
            for side in ground.sides
            for worker in side.workers
        ]
        where.write_text("\n".join([f"seed {self.seed}", str(broken), "faults:", *faults, *logs]))
        told = str(broken).splitlines()
        self.console.print(f"[bold red]a promise was broken[/]  seed {self.seed}\n  ", escape(told[0]))
        self.console.print(f"  what its session did, the faults and the workers' logs are in {where}")
        return 1


def cpu_seconds() -> float:
    """Seconds that this process and all that it has started have computed, the dead included."""
    total = 0.0
    own = psutil.Process(os.getpid())
    for process in (own, *own.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main()
