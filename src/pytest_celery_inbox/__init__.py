"""The fixtures of celery-inbox for your tests.

pytest loads this in every run; hence it stands beside the package, and imports it when a test asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from celery_inbox.testing import Clock, InboxKit


@pytest.fixture
def inbox_kit() -> Iterator[InboxKit]:
    """Every inbox without Redis, broker or worker for this test: see ``celery_inbox.testing.InboxKit``."""
    from celery_inbox.testing import InboxKit

    with InboxKit() as kit:
        yield kit


@pytest.fixture
def inbox_clock(inbox_kit: InboxKit) -> Clock:
    """The kit's clock: ``inbox_clock.advance(1.0)`` handles what is due by then."""
    return inbox_kit.clock
