"""The one place where events become log lines; no message text and no session name stands in them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger

from celery_inbox.observe import signals

if TYPE_CHECKING:
    from celery.utils.dispatch import Signal

logger = get_logger("celery_inbox")

LINES: list[tuple[Signal, int, str]] = [
    (
        signals.nacked,
        logging.WARNING,
        "{sender}: batch {claim.batch_id} failed on attempt {claim.attempt}, next at {retry_at}",
    ),
    (signals.dead, logging.ERROR, "{sender}: batch {batch_id} is dead after {attempts} attempts: {reason}"),
    (signals.exhausted, logging.ERROR, "{sender}: batch {batch_id} failed all {attempts} attempts and is {outcome}"),
    (signals.dead_evicted, logging.ERROR, "{sender}: max_dead reached, dead letters removed: {ids}"),
    (signals.released, logging.INFO, "{sender}: batch {claim.batch_id} released"),
    (
        signals.reclaimed,
        logging.WARNING,
        "{sender}: lease {fence} of batch {batch_id} ended on attempt {attempt} without its holder: {outcome}",
    ),
    (
        signals.lost,
        logging.ERROR,
        "{sender}: batch {claim.batch_id} is lost: its lease {claim.fence} ended while it ran",
    ),
    (
        signals.quarantined,
        logging.ERROR,
        "{sender}: an unreadable element of {size} bytes was quarantined in {address.digest}",
    ),
    (signals.unreadable, logging.ERROR, "{sender}: an unreadable element of {size} bytes was left out"),
    (signals.dispatch_failed, logging.WARNING, "{sender}: {what} is away ({exception}); trying again"),
    (signals.unverified, logging.WARNING, "{sender}: could not verify {what}"),
    (
        signals.predicate_failed,
        logging.WARNING,
        "{sender}: {setting} raised {exception.__class__.__qualname__}; message taken as text",
    ),
    (
        signals.acked,
        logging.DEBUG,
        "{sender}: batch {claim.batch_id} with {handled} messages handled in {runtime:.3f} s",
    ),
    (signals.dispatched, logging.DEBUG, "{sender}: {kicks} kicks for partition {partition}"),
]


def _receiver(level: int, line: str) -> Any:
    def write(sender: Any = None, **payload: Any) -> None:
        if logger.isEnabledFor(level):
            logger.log(level, line.format(sender=sender, **payload))

    return write


def connect() -> None:
    """Write a line for every event that has one; called once by a worker."""
    for signal, level, line in LINES:
        signal.connect(_receiver(level, line), weak=False, dispatch_uid=f"celery_inbox.log.{signal.name}")
