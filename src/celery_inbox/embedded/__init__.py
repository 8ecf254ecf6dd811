"""A real Redis for a machine that has none.

``with embedded.server() as url:`` is all that most callers need. ``Server`` is for tests that stop and start their own.
``python -m celery_inbox.embedded`` runs one in the foreground.
"""

from celery_inbox.embedded.lifeline import ServerFailed
from celery_inbox.embedded.local_server import Server, server
from celery_inbox.embedded.source import ServerNotFound, find_binary, running_url

__all__ = ["Server", "ServerFailed", "ServerNotFound", "find_binary", "running_url", "server"]
