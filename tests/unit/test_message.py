"""What handlers hold in their hands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from celery_inbox.errors import LeaseLost
from celery_inbox.message import Batch, Command, Message

MESSAGES = [Message(id, {"text": id}, 1_700_000_000_000) for id in "abc"]


def lease(**given: Any) -> Any:
    """Stand in for a lease."""
    return SimpleNamespace(**{"lost": False, "renew": lambda: None, **given})


def test_a_batch_is_a_sequence_of_its_messages() -> None:
    """In send order; indexes, slices, search, reversal."""
    batch = Batch("s", MESSAGES)
    assert isinstance(batch, Sequence)
    assert list(batch) == MESSAGES
    assert (len(batch), batch[0], batch[-1]) == (3, MESSAGES[0], MESSAGES[2])
    assert list(batch[1:]) == MESSAGES[1:]
    assert list(reversed(batch)) == MESSAGES[::-1]
    assert MESSAGES[1] in batch
    assert batch.index(MESSAGES[2]) == 2


def test_a_batch_can_be_made_for_a_test() -> None:
    """Session and messages are enough; it is neither lost nor in need of Redis."""
    batch = Batch("s", MESSAGES)
    batch.renew()
    batch.raise_if_lost()
    assert (batch.session, batch.attempt, batch.lost) == ("s", 1, False)


def test_a_batch_keeps_its_messages_from_the_caller_s_list() -> None:
    """What is appended later is not in it."""
    messages = list(MESSAGES)
    batch = Batch("s", messages)
    messages.clear()
    assert len(batch) == 3


def test_a_lost_batch_says_so() -> None:
    """``lost``, ``raise_if_lost`` and ``renew``; the error names batch and fence."""
    batch = Batch("s", MESSAGES, id="0-17", fence=17, lease=lease(lost=True))
    assert batch.lost
    for call in (batch.raise_if_lost, batch.renew):
        with pytest.raises(LeaseLost, match=r"0-17.*17"):
            call()


def test_renewing_asks_the_lease() -> None:
    """Once."""
    asked: list[int] = []
    Batch("s", MESSAGES, lease=lease(renew=lambda: asked.append(1))).renew()
    assert asked == [1]


def test_a_lease_that_is_found_lost_by_renewing_raises() -> None:
    """The state is looked at after the call, not before."""
    held = lease()
    held.renew = lambda: setattr(held, "lost", True)
    with pytest.raises(LeaseLost):
        Batch("s", MESSAGES, lease=held).renew()


def test_a_command_is_its_message() -> None:
    """Section 9: session, body, id, at."""
    command = Command("s", MESSAGES[0], id="0-17", attempt=2, fence=17)
    assert (command.session, command.body, command.id, command.at) == ("s", {"text": "a"}, "a", 1_700_000_000_000)
    assert (command.batch_id, command.attempt, command.headers) == ("0-17", 2, {})


def test_a_message_does_not_change() -> None:
    """Frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        MESSAGES[0].id = "other"  # type: ignore[misc]


def test_no_text_of_a_message_stands_in_a_batch_s_repr() -> None:
    """It ends up in logs and in tracebacks."""
    assert repr(Batch("s", MESSAGES, id="0-17", attempt=2, fence=17)) == "<Batch 0-17 attempt=2 fence=17>"
