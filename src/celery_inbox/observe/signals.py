"""One Celery signal per move; receivers get the payload as keywords, the sender is the ``Inbox``.

No payload holds a message's text. An address has a ``digest`` that stands for the session in logs, and its ``session``
name for your own code.
An exception in a receiver is logged by Celery and changes nothing.
"""

from __future__ import annotations

from celery.utils.dispatch import Signal

sent = Signal(name="inbox_sent", providing_args={"address", "receipt"})
"""A send was answered: ``address``, ``receipt``."""

claimed = Signal(name="inbox_claimed", providing_args={"claim"})
"""A batch was leased: ``claim`` with ``due_at`` and ``claimed_at``, whose difference is the lateness in ms."""

renewed = Signal(name="inbox_renewed", providing_args={"claim"})
"""A lease was extended: ``claim``."""

took_new = Signal(name="inbox_took_new", providing_args={"claim", "messages"})
"""Messages joined a running batch: ``claim``, how many ``messages``."""

acked = Signal(name="inbox_acked", providing_args={"claim", "handled", "runtime"})
"""A batch was handled: ``claim``, ``handled`` messages, ``runtime`` in seconds."""

nacked = Signal(name="inbox_nacked", providing_args={"claim", "retry_at", "exception"})
"""A batch failed and will be tried again: ``claim``, ``retry_at`` in Unix ms, ``exception``."""

dead = Signal(name="inbox_dead", providing_args={"address", "batch_id", "attempts", "reason"})
"""A batch was set aside: ``address``, ``batch_id``, ``attempts``, ``reason``."""

dead_evicted = Signal(name="inbox_dead_evicted", providing_args={"ids"})
"""Dead letters made room for a newer one: their ``ids``, oldest first."""

exhausted = Signal(name="inbox_exhausted", providing_args={"address", "batch_id", "attempts", "outcome"})
"""A batch had its last attempt and stays: ``address``, ``batch_id``, ``attempts``, ``outcome`` (held or isolated)."""

touched = Signal(name="inbox_touched", providing_args={"session", "due_at"})
"""The debounce was pushed back: ``session``, ``due_at`` in Unix ms, None when nothing waits."""

flushed = Signal(name="inbox_flushed", providing_args={"session", "messages"})
"""What waits was made due now: ``session``, how many ``messages``."""

cancelled = Signal(name="inbox_cancelled", providing_args={"session", "outcome"})
"""A batch was cancelled: ``session``, ``outcome`` (marked: its handler will see it; done: settled; nothing; lost)."""

dropped = Signal(name="inbox_dropped", providing_args={"session", "messages"})
"""Waiting messages were taken out: ``session``, how many ``messages``."""

paused = Signal(name="inbox_paused", providing_args={"session", "for_"})
"""A session was stopped: ``session``, ``for_`` seconds or None."""

resumed = Signal(name="inbox_resumed", providing_args={"session", "was_stopped"})
"""A session may go on: ``session``, ``was_stopped``."""

removed = Signal(name="inbox_removed", providing_args={"session", "id", "removed"})
"""A waiting message was taken out, or it was too late: ``session``, ``id``, ``removed``."""

replaced = Signal(name="inbox_replaced", providing_args={"session", "id", "replaced"})
"""A waiting message got another body, or it was too late: ``session``, ``id``, ``replaced``."""

redriven = Signal(name="inbox_redriven", providing_args={"session", "batch_id", "messages"})
"""A dead letter was brought back: ``session``, ``batch_id``, how many ``messages``."""

purged = Signal(name="inbox_purged", providing_args={"session", "batch_id", "messages"})
"""A dead letter was deleted: ``session``, ``batch_id``, how many ``messages``."""

forgotten = Signal(name="inbox_forgotten", providing_args={"session", "messages", "dead"})
"""Everything about a session was deleted: ``session``, ``messages``, messages in ``dead`` letters."""

released = Signal(name="inbox_released", providing_args={"claim"})
"""A batch was given back unconsumed: ``claim``."""

reclaimed = Signal(name="inbox_reclaimed", providing_args={"address", "fence", "attempt", "outcome", "batch_id"})
"""A lease ended without its holder: ``address``, ``fence``, ``attempt``, ``outcome`` (retry, dead, held or isolated),
``batch_id``."""

lost = Signal(name="inbox_lost", providing_args={"claim"})
"""A run learnt that its lease had ended: ``claim``."""

quarantined = Signal(name="inbox_quarantined", providing_args={"address", "size"})
"""An element that cannot be read was set aside: ``address``, ``size`` in bytes."""

unreadable = Signal(name="inbox_unreadable", providing_args={"size"})
"""An element was left out of what a person asked to see or dropped, for it cannot be read: ``size`` in bytes."""

dispatched = Signal(name="inbox_dispatched", providing_args={"partition", "kicks"})
"""Kicks were published: ``partition``, how many ``kicks``."""

dispatch_failed = Signal(name="inbox_dispatch_failed", providing_args={"what", "exception"})
"""The dispatcher could not reach ``what`` (Redis or the broker): ``exception``; it tries again by itself."""

unverified = Signal(name="inbox_unverified", providing_args={"what"})
"""Something that must hold could not be verified: ``what``; the server does not say."""

predicate_failed = Signal(name="inbox_predicate_failed", providing_args={"setting", "exception"})
"""A callable among the settings raised: ``setting``, ``exception``; the message was stored as plain text."""
