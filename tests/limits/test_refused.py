"""A body that is too large is refused here, not there."""

import pytest
from celery import Celery

from celery_inbox import ConfigurationError, Inbox, MessageTooLarge, StorageUnavailable
from celery_inbox.embedded.local_server import free_port

MIB = 1 << 20


@pytest.mark.parametrize("limit", [1, 256 << 10, 64 * MIB])
def test_a_body_that_is_too_large_is_refused_before_any_network(limit: int) -> None:
    """BKP-7: nobody listens there, and only what may be sent finds out."""
    nowhere = Celery(broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    inbox = Inbox(nowhere, "chat", max_message_bytes=limit, max_pending_bytes=64 * MIB)
    with pytest.raises(MessageTooLarge) as refused:
        inbox.send("s", "x" * (limit - 1))
    assert (refused.value.size, refused.value.limit) == (limit + 1, limit)
    with pytest.raises(StorageUnavailable):
        inbox.send("s", 1)


@pytest.mark.parametrize("limit", [0, 64 * MIB + 1])
def test_the_limit_has_limits(limit: int) -> None:
    """From a byte to 64 MiB."""
    app = Celery(broker="redis://127.0.0.1/0", set_as_current=False)
    with pytest.raises(ConfigurationError, match="max_message_bytes"):
        Inbox(app, "chat", max_message_bytes=limit, max_pending_bytes=1 << 30).send("s", 1)
