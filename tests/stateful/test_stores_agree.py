"""Random histories: the Redis store gives the in-memory store's answers, move by move."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from stateful.histories import Histories


def test_both_stores_tell_the_same_history(redis_url: str) -> None:
    """Same answers, same contents, nothing lost, doubled, overtaken or stuck; a failure prints the shortest history."""

    class Told(Histories):
        url = redis_url

    profile = "ci" if settings.get_current_profile_name() == "default" else settings.get_current_profile_name()
    run_state_machine_as_test(Told, settings=settings.get_profile(profile))
