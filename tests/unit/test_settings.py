"""Settings: ranges, choices, disagreements, where they come from."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_inbox.errors import ConfigurationError
from celery_inbox.settings import INTEGERS, NAMES, ORDERED, RANGES, Settings, check_name, from_app, ms, resolve
from celery_inbox.store.moves import Terms
from celery_inbox.worker.lease import LONGEST_TICK, RENEWALS_PER_LEASE, TICKS_PER_LEASE

BY_NAME = pytest.mark.parametrize(("name", "low", "high"), RANGES, ids=[name for name, _, _ in RANGES])


def roomy(name: str, value: Any) -> dict[str, Any]:
    """Settings with which a value at the edge of its own range disagrees with no other."""
    given: dict[str, Any] = {name: value}
    for smaller, larger in ORDERED:
        bounds = {each: (low, high) for each, low, high in RANGES}
        if name == larger:
            given[smaller] = bounds[smaller][0]
        if name == smaller:
            given[larger] = bounds[larger][1]
    return given


def made(given: dict[str, Any]) -> Settings:
    """Make settings of names that the type checker does not see."""
    return Settings(**given)


def test_the_defaults_are_those_of_the_contract() -> None:
    """Section 9."""
    settings = Settings()
    assert (settings.debounce, settings.max_wait, settings.max_batch, settings.max_bytes) == (1.0, 10.0, 100, 1 << 20)
    assert (settings.max_pending, settings.max_pending_bytes, settings.overflow) == (10_000, 16 << 20, "reject")
    assert (settings.max_message_bytes, settings.dedup_ttl, settings.max_ids) == (256 << 10, 86_400, 10_000)
    assert (settings.lease, settings.dispatch_interval, settings.max_run) == (30.0, 1.0, 3600.0)
    assert (settings.max_dead, settings.partitions, settings.socket_timeout) == (10_000, 32, 2.0)
    assert (settings.active_window, settings.is_command, settings.flush_when, settings.batch_key) == (None,) * 4
    assert (settings.min_interval, settings.serializer, settings.namespace) == (0.0, "json", "celery-inbox")


@BY_NAME
def test_the_edges_of_a_range_are_in_it(name: str, low: float, high: float) -> None:
    """Both."""
    for edge in (low, high):
        assert getattr(made(roomy(name, edge)), name) == edge


@BY_NAME
def test_a_value_outside_its_range_is_refused(name: str, low: float, high: float) -> None:
    """The error names the setting, the value and both limits, in full digits."""
    for value in (low - 1, high + 1, -math.inf if name not in INTEGERS else -1, high * 2):
        with pytest.raises(ConfigurationError) as refused:
            made({name: value})
        said = str(refused.value)
        assert said.startswith(f"{name}={value!r} ")
        assert f"from {low:.15g} to {high:.15g}" in said
        assert "e+" not in said.split(" from ")[1]


@BY_NAME
@pytest.mark.parametrize("value", ["1", True, False, [1], math.nan], ids=repr)
def test_what_is_no_number_is_refused(name: str, low: float, high: float, value: Any) -> None:
    """A bool is no number, text is none, NaN is not in any range."""
    with pytest.raises(ConfigurationError, match=f"{name}="):
        made({name: value})


@pytest.mark.parametrize("name", sorted(INTEGERS))
def test_counts_are_whole_numbers(name: str) -> None:
    """No half messages."""
    with pytest.raises(ConfigurationError, match="whole number"):
        made({name: 2.5})


@pytest.mark.parametrize("name", sorted(name for name, _, _ in RANGES if name != "active_window"))
def test_only_the_window_may_be_none(name: str) -> None:
    """None means off there, nothing elsewhere."""
    with pytest.raises(ConfigurationError, match=name):
        made({name: None})
    assert Settings(active_window=None).active_window is None


@pytest.mark.parametrize(
    "given",
    [
        {"debounce": 11},
        {"debounce": 3, "max_wait": 2.5},
        {"max_batch": 100, "max_pending": 99},
        {"max_message_bytes": 101, "max_pending_bytes": 100},
        {"dispatch_interval": 31},
    ],
    ids=str,
)
def test_settings_that_disagree_are_refused(given: dict[str, Any]) -> None:
    """The error names both and both values."""
    with pytest.raises(ConfigurationError) as refused:
        made(given)
    said = str(refused.value)
    smaller, larger = next(pair for pair in ORDERED if all(name in said for name in pair))
    defaults = Settings()
    for name in (smaller, larger):
        assert f"{name}={given.get(name, getattr(defaults, name)):.15g}" in said


@pytest.mark.parametrize(
    "given",
    [
        {"overflow": "explode"},
        {"flush_when": "yes"},
        {"batch_key": 1},
        {"is_command": ""},
        {"is_command": 5},
        {"namespace": ""},
        {"namespace": "a:b"},
        {"namespace": "{a}"},
        {"namespace": "x" * 101},
    ],
    ids=str,
)
def test_other_faults_are_refused_by_name(given: dict[str, Any]) -> None:
    """Setting and value stand in the error."""
    ((name, value),) = given.items()
    with pytest.raises(ConfigurationError) as refused:
        made(given)
    assert f"{name}={value!r}" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "near"), [("debounse", "debounce"), ("maxwait", "max_wait"), ("partition", "partitions")]
)
def test_an_unknown_setting_is_refused_with_a_suggestion(given: str, near: str) -> None:
    """Wherever it stands."""
    for conf in ({f"inbox_{given}": 1}, {"inbox_settings": {"chat": {given: 1}}}):
        with pytest.raises(ConfigurationError, match=near) as refused:
            resolve("chat", {}, conf)
        assert repr(given) in str(refused.value)


def test_an_unknown_setting_like_no_other_is_told_all_of_them() -> None:
    """Nothing is near it."""
    with pytest.raises(ConfigurationError) as refused:
        from_app({"inbox_zzzzzz": 1}, "chat")
    assert all(name in str(refused.value) for name in NAMES)


def test_a_keyword_wins_over_its_inbox_wins_over_all_inboxes_wins_over_the_default() -> None:
    """Section 9's order, one layer at a time."""
    layers: list[dict[str, Any]] = [{}, {"inbox_debounce": 2.0}, {"inbox_settings": {"chat": {"debounce": 3.0}}}]
    conf: dict[str, Any] = {}
    found = []
    for layer in layers:
        conf |= layer
        found.append(resolve("chat", {}, conf).debounce)
    found.append(resolve("chat", {"debounce": 4.0}, conf).debounce)
    assert found == [1.0, 2.0, 3.0, 4.0]


def test_the_settings_of_one_inbox_are_not_those_of_another() -> None:
    """Only what all share reaches both."""
    conf = {"inbox_max_wait": 20.0, "inbox_settings": {"chat": {"debounce": 3.0}}}
    assert (resolve("chat", {}, conf).debounce, resolve("mail", {}, conf).debounce) == (3.0, 1.0)
    assert resolve("mail", {}, conf).max_wait == 20.0


def test_other_settings_of_the_app_are_not_ours() -> None:
    """What does not begin with ``inbox_`` is not looked at."""
    assert from_app({"broker_url": "x", "task_always_eager": True, "inboxes": 1}, "chat") == {}


def test_merged_settings_are_checked_as_a_whole() -> None:
    """Each layer is fine by itself; together they disagree."""
    with pytest.raises(ConfigurationError, match="debounce"):
        resolve("chat", {"debounce": 8.0}, {"inbox_max_wait": 5.0})


@pytest.mark.parametrize("name", ["", "a b", "ä", "a:b", "{x}", "x" * 101, None, 3, "a\n"])
def test_an_inbox_name_that_cannot_stand_in_keys_is_refused(name: Any) -> None:
    """Letters, digits, ``_ . -``."""
    with pytest.raises(ConfigurationError):
        check_name(name)


@pytest.mark.parametrize("name", ["chat", "a.b-c_d", "X" * 100, "1"])
def test_other_inbox_names_are_kept(name: str) -> None:
    """As they are."""
    assert check_name(name) == name


def test_settings_do_not_change() -> None:
    """Frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().debounce = 2.0  # type: ignore[misc]


def test_seconds_become_milliseconds_in_one_place() -> None:
    """Rounded, not cut."""
    seconds = (0, 0.001, 0.0004, 0.0006, 1.5, 86_400.0, 0.29)
    assert [ms(each) for each in seconds] == [0, 1, 0, 1, 1500, 86_400_000, 290]


def test_the_terms_of_a_store_are_in_milliseconds() -> None:
    """None becomes -1, a choice becomes a bool."""
    terms = Terms.of(Settings(overflow="drop_oldest", lease=12.5, min_interval=0.25))
    assert (terms.lease, terms.min_interval, terms.active_window, terms.drop_oldest) == (12_500, 250, -1, True)
    assert Terms.of(Settings(active_window=0)).active_window == 0


@given(st.floats(0.1, 86_400), st.floats(0.01, 86_400), st.floats(0.05, 600))
def test_whoever_waits_for_a_lease_outlasts_it(lease: float, interval: float, patience: float) -> None:
    """STK-2: a dispatcher looks within a lease, three renewals fit in one, and somebody asks between two of them."""
    given = {"lease": lease, "dispatch_interval": interval, "socket_timeout": patience}
    if interval > lease:
        with pytest.raises(ConfigurationError, match="dispatch_interval="):
            made(given)
        return
    terms = Terms.of(made(given))
    assert 0 < terms.interval <= terms.lease
    assert terms.lease / 1000 / RENEWALS_PER_LEASE <= lease / 3 + 0.001
    assert min(LONGEST_TICK, terms.lease / 1000 / TICKS_PER_LEASE) < terms.lease / 1000 / RENEWALS_PER_LEASE
