"""The inboxes of each Celery app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from celery_inbox.errors import ConfigurationError

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox

_inboxes: WeakKeyDictionary[Any, dict[str, BoundInbox]] = WeakKeyDictionary()


def inboxes_of(app: Any) -> dict[str, BoundInbox]:
    """The inboxes of an app by name."""
    return _inboxes.setdefault(app, {})


def enlist(app: Any, inbox: BoundInbox) -> None:
    """Add an inbox to an app.

    Raises:
        ConfigurationError: The app has another inbox of that name.
    """
    other = inboxes_of(app).setdefault(inbox.name, inbox)
    if other is not inbox:
        raise ConfigurationError(
            f"this app has an inbox {inbox.name!r} already: import that one, or choose another name"
        )
