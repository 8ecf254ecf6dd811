"""Random scripts: the test kit gives the batches that the Redis store gives."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from celery_inbox.worker import outcome
from stateful.scripts import with_redis, with_the_kit

SEEDS = range(200)


@pytest.fixture
def _longest_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit waits for the whole backoff; a worker for a random part of it."""
    monkeypatch.setattr(outcome, "random", SimpleNamespace(random=lambda: 1.0))


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of handlers fail on purpose."""
    monkeypatch.setattr(logging.getLogger("celery.app.trace"), "disabled", True)


@pytest.mark.usefixtures("_longest_backoff", "_quiet")
def test_the_kit_gives_the_same_batches_as_redis(redis_url: str) -> None:
    """Same messages, same order, same attempts, at the same times, in 200 scripts."""
    batches = failed = commands = 0
    for seed in SEEDS:
        expected, started_at = with_the_kit(seed)
        found = with_redis(seed, redis_url, started_at)
        assert found.runs == expected.runs, f"script {seed}: {expected.script.settings} {expected.script.moves}"
        for (_, what), runs in expected.runs.items():
            batches += len(runs) if what == "batches" else 0
            commands += len(runs) if what == "commands" else 0
            failed += sum(attempt > 1 for _, attempt, _ in runs)
    assert min(batches, commands, failed) > len(SEEDS), "the scripts say nothing"
