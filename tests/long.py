"""Whether this session has the time for proofs in full length."""

import os

LONG = bool(os.environ.get("CELERY_INBOX_LONG"))
"""``make outages`` says so; else the same tests run with fewer or shorter faults."""
