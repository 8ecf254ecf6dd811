"""For the suites of those who use celery-inbox: a history of what handlers did, with the checks that judge it."""

from celery_inbox.testing.checks import check
from celery_inbox.testing.events import Ended, Event, Sent, Started
from celery_inbox.testing.history import History, Record
from celery_inbox.testing.report import Report
from celery_inbox.testing.runs import Run, runs

__all__ = ["Ended", "Event", "History", "Record", "Report", "Run", "Sent", "Started", "check", "runs"]
