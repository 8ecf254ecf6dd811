"""For the suites of those who use celery-inbox: a kit for tests without Redis, a checker for real workers."""

from celery_inbox.testing.attempts import Attempt
from celery_inbox.testing.by_hand import batch, command, crash
from celery_inbox.testing.checks import check
from celery_inbox.testing.clock import Clock
from celery_inbox.testing.events import Ended, Event, Sent, Started
from celery_inbox.testing.history import History, Record
from celery_inbox.testing.kit import InboxKit
from celery_inbox.testing.report import Report
from celery_inbox.testing.runs import Run, runs

__all__ = [
    "Attempt",
    "Clock",
    "Ended",
    "Event",
    "History",
    "InboxKit",
    "Record",
    "Report",
    "Run",
    "Sent",
    "Started",
    "batch",
    "check",
    "command",
    "crash",
    "runs",
]
