"""Sending: from a body to a receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from celery_inbox.bound import BoundInbox
from celery_inbox.element import COMMAND, MESSAGE, decode_id, encode_id
from celery_inbox.errors import InboxFull, StorageUnavailable
from celery_inbox.message import Receipt
from celery_inbox.observe import signals
from celery_inbox.settings import check_waits, ms
from celery_inbox.store.connection import moved, repartitioning
from celery_inbox.store.keys import Address, address, command_address, digest_of
from celery_inbox.store.moves import Outgoing, Sent
from celery_inbox.worker.identity import token


class Rules(NamedTuple):
    """The settings that every send reads, converted once."""

    partitions: int
    waits: tuple[int, int] | None
    """Debounce and max_wait in ms; None when one of them depends on the session."""
    is_command: str | Callable[[Any], bool] | None
    in_line: bool
    flush_when: Callable[[Any], bool] | None
    batch_key: Callable[[Any], Any] | None


class Sender(BoundInbox):
    """An inbox that messages can be sent to."""

    def send(
        self,
        session: str,
        body: Any,
        *,
        id: str | None = None,
        headers: dict[str, Any] | None = None,
        active: bool = True,
        flush: bool = False,
    ) -> Receipt:
        """Store a message in its session's inbox: one round trip to Redis, none to the broker.

        Args:
            session: The unit of order, text of 1 to 512 UTF-8 bytes.
            body: Anything that the serializer returns equal; at most ``max_message_bytes`` encoded.
            id: Text of 1 to 512 bytes; the same id is accepted once per session within ``dedup_ttl``. None: generated.
            headers: Travel with the body.
            active: False for a message that does not push the debounce back; outside ``active_window`` it is ignored.
            flush: True makes this message and those before it due now.

        Returns:
            What became of the message, see ``Receipt``.

        Raises:
            InvalidSession, InvalidMessage, MessageTooLarge, InboxFull, StorageFull, ConfigurationError:
                Nothing was stored.
            Repartitioning: Sessions are being moved and nothing was stored; send again with the error's ``id``.
            StorageUnavailable: Redis did not answer within ``socket_timeout``; send again with the error's ``id``.
        """
        message = self._outgoing(session, body, id, headers, active, flush)
        if not self._checked:
            self._check_for(message)
        store = self.store
        receipt = self._receipt(message, store.send(message))
        if store is not self._store:
            self._moved()
        return receipt

    async def asend(
        self,
        session: str,
        body: Any,
        *,
        id: str | None = None,
        headers: dict[str, Any] | None = None,
        active: bool = True,
        flush: bool = False,
    ) -> Receipt:
        """Send from asyncio code; as ``send``, without blocking the event loop."""
        message = self._outgoing(session, body, id, headers, active, flush)
        if not self._checked:
            await asyncio.to_thread(self._check_for, message)
        store = self.store
        receipt = self._receipt(message, await store.asend(message))
        if store is not self._store:
            self._moved()
        return receipt

    def send_many(self, messages: Iterable[tuple[str, Any] | tuple[str, Any, str]]) -> list[Receipt]:
        """Store messages in one round trip, in the order given.

        Args:
            messages: Pairs of session and body, or triples with an id.

        Returns:
            One receipt per message.

        Raises:
            InvalidSession, InvalidMessage, MessageTooLarge, ConfigurationError: Nothing was stored.
            InboxFull: Sessions without room refused theirs; the error's ``receipts`` has None for these.
            StorageUnavailable, Repartitioning: Some may be stored; send again with the error's ``ids``.
        """
        outgoing = [self._outgoing(*message) for message in messages]
        if not outgoing:
            return []
        try:
            self.check()
            replies = self.store.send_many(outgoing)
            receipts, full = self._receipts(outgoing, replies)
        except StorageUnavailable as error:
            error.ids = [decode_id(message.id) for message in outgoing]
            raise
        self._moved()
        if full is not None:
            full.receipts = receipts
            raise full
        return [receipt for receipt in receipts if receipt is not None]

    def _receipts(self, messages: list[Outgoing], replies: list[Sent]) -> tuple[list[Receipt | None], InboxFull | None]:
        """One per message, None for those without room; and the first error that says so."""
        receipts: list[Receipt | None] = []
        full: InboxFull | None = None
        for message, sent in zip(messages, replies, strict=True):
            try:
                receipts.append(self._receipt(message, sent))
            except InboxFull as error:
                full = full or error
                receipts.append(None)
        return receipts, full

    def send_command(
        self, session: str, body: Any, *, id: str | None = None, headers: dict[str, Any] | None = None
    ) -> Receipt:
        """Store a command: it is handled at once, outside the batches, by the command worker.

        Args, Raises: As ``send``. Commands of one session may run at the same time and in any order.

        Returns:
            A receipt with status ``command``.
        """
        message = self._outgoing(session, body, id, headers, command=True)
        if not self._checked:
            self._check_for(message)
        store = self.store
        receipt = self._receipt(message, store.send(message))
        if store is not self._store:
            self._moved()
        return receipt

    def _outgoing(
        self,
        session: str,
        body: Any,
        id: str | None = None,
        headers: dict[str, Any] | None = None,
        active: bool = True,
        flush: bool = False,
        command: bool = False,
    ) -> Outgoing:
        rules = self._rules
        payload = self.codec.encode(body, headers)
        encoded_id = token() if id is None else encode_id(id)
        flags = ("a" if active else "") + ("h" if headers else "") or "-"
        kind = MESSAGE
        if command or (rules.is_command is not None and self._is_command(rules.is_command, body)):
            if not rules.in_line:
                place = command_address(session, encoded_id)
                return Outgoing(place, encoded_id, id is None, payload, 0, 0, COMMAND, flags)
            kind = COMMAND
        place = address(session, rules.partitions)
        debounce, max_wait = rules.waits or self._waits_of(session)
        flush = flush or bool(rules.flush_when and self._ask("flush_when", rules.flush_when, body))
        key = "-" if rules.batch_key is None else self._key(rules.batch_key, body)
        return Outgoing(place, encoded_id, id is None, payload, debounce, max_wait, kind, flags, key, flush)

    @cached_property
    def _rules(self) -> Rules:
        settings = self.settings
        debounce, max_wait = settings.debounce, settings.max_wait
        return Rules(
            settings.partitions,
            None if callable(debounce) or callable(max_wait) else (ms(debounce), ms(max_wait)),
            settings.is_command,
            settings.command_order == "in_line",
            settings.flush_when,
            settings.batch_key,
        )

    def _waits_of(self, session: str) -> tuple[int, int]:
        """Debounce and max_wait in ms, where they depend on the session.

        Raises:
            ConfigurationError: A callable gave what is no debounce or max_wait; nothing was stored.
        """
        debounce, max_wait = self.settings.debounce, self.settings.max_wait
        waits = (
            debounce(session) if callable(debounce) else debounce,
            max_wait(session) if callable(max_wait) else max_wait,
        )
        check_waits(*waits)
        return ms(waits[0]), ms(waits[1])

    def _address(self, session: str) -> Address:
        """Locate a session for a move; with other partitions than recorded it would miss, or mark, another place."""
        if not self._checked:
            self.check()
        return address(session, self._rules.partitions)

    def _key(self, rule: Callable[[Any], Any], body: Any) -> str:
        """Stand for a batch key in the header; bodies whose key cannot be found share one."""
        return digest_of(repr(self._ask("batch_key", rule, body)).encode("utf-8", "replace"))

    def _is_command(self, rule: str | Callable[[Any], bool], body: Any) -> bool:
        if callable(rule):
            return bool(self._ask("is_command", rule, body))
        text = body.get("text") if isinstance(body, Mapping) else body
        return isinstance(text, str) and text.startswith(rule)

    def _ask(self, setting: str, rule: Callable[[Any], Any], body: Any) -> Any:
        """Call a user's callable; one that raises makes the message plain text."""
        try:
            return rule(body)
        except Exception as error:
            signals.predicate_failed.send(sender=self, setting=setting, exception=error)
            return None

    def _check_for(self, message: Outgoing) -> None:
        try:
            self.check()
        except StorageUnavailable as error:
            error.id = decode_id(message.id)
            raise

    def _receipt(self, message: Outgoing, sent: Sent) -> Receipt:
        if sent.status == "full":
            settings = self.settings
            raise InboxFull(sent.waiting, sent.waiting_bytes, settings.max_pending, settings.max_pending_bytes)
        if sent.status == "moved":
            self.check_again()
            raise moved(sent.waiting) if sent.waiting else repartitioning(decode_id(message.id))
        status: Any = sent.status
        if message.kind == COMMAND and status == "accepted":
            status = "command"
        elif message.generated and status == "duplicate":
            # Nobody else can know a generated id: the client re-sent this very call.
            status = "command" if message.kind == COMMAND else "accepted"
        id = message.id if message.generated else decode_id(message.id)
        dropped = tuple(map(decode_id, sent.dropped)) if sent.dropped else ()
        receipt = Receipt(id, status, sent.waiting, sent.due_at, dropped)
        if signals.sent.receivers:
            signals.sent.send(sender=self, address=message.address, receipt=receipt)
        return receipt
