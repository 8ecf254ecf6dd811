"""The soak in its short form: random load and random faults on both brokers."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINUTES = float(os.environ.get("SOAK_MINUTES", "1"))
SEED = os.environ.get("SOAK_SEED") or secrets.token_hex(4)
DRAINED = 240
"""Seconds beyond the minutes, on a busy machine: start of all servers, drain."""


@pytest.mark.timeout(60 * MINUTES + DRAINED + 30)
def test_random_load_under_random_faults_keeps_every_promise(tmp_path: Path) -> None:
    """Lost, doubled, overtaken, overlapping, stuck, unexpected: none, but where a fault has brought it about."""
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    soak = subprocess.run(
        [sys.executable, "-m", "soak", "--minutes", f"{MINUTES}", "--seed", SEED, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60 * MINUTES + DRAINED,
    )
    print(soak.stdout)
    assert soak.returncode == 0, f"seed {SEED}\n{soak.stdout}"
    assert "every promise held" in soak.stdout
    assert f"seed {SEED}" in soak.stdout
