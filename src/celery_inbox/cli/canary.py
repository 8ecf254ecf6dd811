"""Canaries: sessions of nobody's that a worker must claim, and that no handler sees."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

from celery_inbox.element import CANARY, COMMAND, MESSAGE
from celery_inbox.store.keys import COMMAND_PARTITION, address, command_address
from celery_inbox.store.moves import Outgoing

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox


class Canaries:
    """Those of one health check; what nobody answered is taken back at its end."""

    def __init__(self, inbox: BoundInbox) -> None:
        self._inbox = inbox
        self._sent: list[Outgoing] = []

    def send(self, partition: str) -> None:
        """Put one into a partition, due now.

        Raises:
            StorageUnavailable: Redis did not answer.
        """
        id = os.urandom(8).hex()
        kind = COMMAND if partition == COMMAND_PARTITION else MESSAGE
        names = (f"celery-inbox canary {id} {number}" for number in count())
        if kind == COMMAND:
            place = command_address(next(names), id)
        else:
            places = (address(name, self._inbox.settings.partitions) for name in names)
            place = next(place for place in places if place.partition == partition)
        message = Outgoing(place, id, True, b"null", 0, 0, kind, CANARY, flush=True)
        self._inbox.redis_store.send(message)
        self._sent.append(message)

    def take_back(self) -> None:
        """Leave nothing behind.

        Raises:
            StorageUnavailable: Redis did not answer.
        """
        for message in self._sent:
            self._inbox.redis_store.remove(message.address, message.id)
