"""Log lines are made of events, and hold nothing that people said."""

import logging
from typing import Any

import pytest

from celery_inbox.observe import log, signals
from celery_inbox.store.keys import address
from celery_inbox.store.moves import Claim

CANARY = "canary"
CLAIM = Claim(address(CANARY, 1), 1, 1, "0-1", "m", 1, 1, (CANARY.encode(),))
TOLD: dict[str, Any] = {
    "claim": CLAIM, "address": CLAIM.address, "exception": ValueError(CANARY), "setting": "flush_when",
    "batch_id": "0-1", "retry_at": 1, "attempts": 1, "reason": "ValueError", "outcome": "dead", "ids": ("0-1",),
    "fence": 1, "attempt": 1, "size": 1, "what": "a fact", "handled": 1, "runtime": 0.1, "kicks": 1, "partition": "0",
}  # fmt: skip
SILENT = [line for line in log.LINES if line[0] is not signals.dispatch_failed]


@pytest.mark.parametrize(("signal", "level", "line"), SILENT, ids=[signal.name for signal, _, _ in SILENT])
def test_no_line_holds_what_a_payload_holds_of_people(
    signal: Any, level: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a session's name nor a message nor an exception's words; ``dispatch_failed`` quotes servers alone."""
    caplog.set_level(logging.DEBUG, "celery_inbox")
    payload = {name: TOLD[name] for name in signal.providing_args}
    log._receiver(level, line)(sender="inbox chat", **payload)
    [record] = caplog.records
    assert record.getMessage().startswith("inbox chat: ")
    assert CANARY not in record.getMessage()


def test_a_claim_does_not_show_its_messages() -> None:
    """Receivers of signals log what they get."""
    assert "elements" not in repr(CLAIM)
