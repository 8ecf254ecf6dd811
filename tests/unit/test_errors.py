"""The error tree."""

from __future__ import annotations

import inspect

import pytest

from celery_inbox import errors
from celery_inbox.errors import (
    ConfigurationError,
    InboxError,
    InboxFull,
    InvalidMessage,
    InvalidSession,
    LeaseLost,
    MessageTooLarge,
    StorageFull,
    StorageUnavailable,
)

ALL = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, Exception)]
PROMISES = ["nothing was s", "nothing was st", "unknown", "would change nothing", "refuses"]


def test_the_public_errors_exist() -> None:
    """Section 9's names, under one root."""
    named = {ConfigurationError, InvalidSession, MessageTooLarge, InboxFull, StorageFull, LeaseLost}
    assert named <= set(ALL)
    assert all(issubclass(each, InboxError) for each in ALL)
    assert issubclass(MessageTooLarge, InvalidMessage)
    assert issubclass(StorageFull, StorageUnavailable)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_an_error_says_what_can_be_relied_on(error: type[InboxError]) -> None:
    """Its docstring: what was stored, what is still true."""
    assert error.__doc__
    assert any(promise in error.__doc__ for promise in PROMISES)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_the_tree_is_drawn_on_top(error: type[InboxError]) -> None:
    """Every error stands in the module's docstring."""
    assert error.__name__ in (errors.__doc__ or "")


def test_storage_errors_carry_the_id() -> None:
    """To send again with; None where the call was no send."""
    assert StorageFull("full", "id").id == "id"
    assert StorageUnavailable("away").id is None


def test_a_full_inbox_states_numbers_and_limits() -> None:
    """And what to do."""
    error = InboxFull(7, 700, 8, 800)
    assert (error.waiting, error.waiting_bytes) == (7, 700)
    assert all(
        number in str(error) for number in ("7 ", "700", "max_pending=8", "max_pending_bytes=800", "drop_oldest")
    )
