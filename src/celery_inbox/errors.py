"""Every error that celery-inbox raises.

InboxError
├── ConfigurationError    a setting, a server or an app that cannot work as it is
├── InvalidSession        the session name cannot be used
├── InvalidMessage        the id, body or headers cannot be stored
│   └── MessageTooLarge   the encoded body passes ``max_message_bytes``
├── InboxFull             the session holds ``max_pending`` messages already
├── StorageUnavailable    Redis did not answer; carries the id to send again with
│   ├── StorageFull       Redis has no memory left
│   └── Repartitioning    sessions are being moved to another number of partitions
└── LeaseLost             the batch belongs to another worker by now
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_inbox.message import Receipt


class InboxError(Exception):
    """Anything that celery-inbox refuses or cannot do."""


class ConfigurationError(InboxError):
    """A setting, server or app cannot work as it is; nothing was started and nothing was stored."""


class InvalidSession(InboxError, ValueError):
    """The session is not text of 1 to 512 UTF-8 bytes; nothing was stored."""


class InvalidMessage(InboxError, ValueError):
    """The id, body or headers of a message cannot be stored as they are; nothing was stored."""


class MessageTooLarge(InvalidMessage):
    """The encoded body is larger than ``max_message_bytes``; nothing was stored.

    Attributes:
        size: Encoded size in bytes.
        limit: ``max_message_bytes`` of the inbox.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the encoded message has {size} bytes, max_message_bytes is {limit}: "
            "store the content elsewhere and send its address, or raise inbox_max_message_bytes"
        )
        self.size = size
        self.limit = limit


class InboxFull(InboxError):
    """The session has no room for another waiting message; nothing was stored and nothing was dropped.

    Attributes:
        waiting: Messages that wait in the session.
        waiting_bytes: Their encoded size.
        receipts: After ``send_many``: one per message, None for those that were refused.
    """

    receipts: list[Receipt | None]

    def __init__(self, waiting: int, waiting_bytes: int, max_pending: int, max_pending_bytes: int) -> None:
        super().__init__(
            f"the session has {waiting} waiting messages with {waiting_bytes} bytes, "
            f"the limits are max_pending={max_pending} and max_pending_bytes={max_pending_bytes}: "
            "send later, raise them, or choose overflow='drop_oldest'"
        )
        self.waiting = waiting
        self.waiting_bytes = waiting_bytes
        self.receipts = []


class StorageUnavailable(InboxError):
    """Redis did not answer in time; whether the message was stored is unknown.

    Attributes:
        id: Send again with this id and the message is stored once, whatever happened to this call. None where the call
            was not ``send``.
        ids: The same after ``send_many``, one per message.
        is_final: True when Redis did answer, and would answer the same each time: what lies at its keys is not ours.
    """

    def __init__(self, reason: str, id: str | None = None) -> None:
        super().__init__(reason)
        self.id = id
        self.ids: list[str] = []
        self.is_final = False


class StorageFull(StorageUnavailable):
    """Redis refused the write because it has reached ``maxmemory``; nothing was stored."""


class Repartitioning(StorageUnavailable):
    """Sessions are being moved to another number of partitions; nothing was stored.

    Send again with the id when it is over. A ``send_many`` that it interrupts may have stored some; with its
    ``ids`` each is stored once.
    """


class LeaseLost(InboxError):
    """The lease of this batch has ended and another worker may handle it; acknowledging it would change nothing."""
