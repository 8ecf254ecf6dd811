"""Per-session inboxes for Celery: bursts in, one ordered batch out."""

from celery_inbox.errors import (
    ConfigurationError,
    InboxError,
    InboxFull,
    InvalidMessage,
    InvalidSession,
    LeaseLost,
    MessageTooLarge,
    Repartitioning,
    StorageFull,
    StorageUnavailable,
)
from celery_inbox.inbox import Inbox
from celery_inbox.message import Batch, Command, DeadLetter, Message, Receipt, SessionInfo, SessionView, Stats
from celery_inbox.settings import CHAT, Settings

__version__ = "0.1.0"

__all__ = [
    "CHAT",
    "Batch",
    "Command",
    "ConfigurationError",
    "DeadLetter",
    "Inbox",
    "InboxError",
    "InboxFull",
    "InvalidMessage",
    "InvalidSession",
    "LeaseLost",
    "Message",
    "MessageTooLarge",
    "Receipt",
    "Repartitioning",
    "SessionInfo",
    "SessionView",
    "Settings",
    "Stats",
    "StorageFull",
    "StorageUnavailable",
]
