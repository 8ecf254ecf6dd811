"""An inbox: bind handlers, send messages."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, overload

from celery import Celery, Task, current_app, shared_task
from celery._state import _get_active_apps, connect_on_app_finalize

from celery_inbox.eager import EagerStore, handle_all
from celery_inbox.element import COMMAND, MESSAGE, Codec, Kind, decode_id, encode_id
from celery_inbox.errors import ConfigurationError, InboxFull, StorageUnavailable
from celery_inbox.message import DeadLetter, Receipt, SessionView
from celery_inbox.observe import signals
from celery_inbox.settings import Settings, check_known, check_name, ms, resolve
from celery_inbox.store.keys import COMMAND_PARTITION, Address, address, command_address, digest_of
from celery_inbox.store.moves import Letter, Outgoing, Sent, Store, Terms
from celery_inbox.store.redis import RedisStore, redis_url
from celery_inbox.worker import bootstep, registry
from celery_inbox.worker.identity import token
from celery_inbox.worker.outcome import check_options
from celery_inbox.worker.partitions import all_partitions
from celery_inbox.worker.task import HandlerTask

F = TypeVar("F", bound=Callable[..., Any])

_alive: weakref.WeakSet[Inbox] = weakref.WeakSet()


def _start_anew() -> None:
    """Connections must not cross a fork."""
    for inbox in list(_alive):
        inbox._store = None


os.register_at_fork(after_in_child=_start_anew)


class Rules(NamedTuple):
    """The settings that every send reads, converted once."""

    partitions: int
    debounce: int
    max_wait: int
    is_command: str | Callable[[Any], bool] | None
    flush_when: Callable[[Any], bool] | None
    batch_key: Callable[[Any], Any] | None


class Inbox:
    """A named set of sessions with one batch handler, at most one command handler, and one set of settings.

    Args:
        app: A Celery app, or the inbox's name alone to bind to every app, as ``shared_task`` does.
        name: Letters, digits, ``_ . -``; the first part of its queues' names.
        **settings: See ``celery_inbox.Settings``.

    Constructing connects to nothing.

    Raises:
        ConfigurationError: The name or a setting cannot be used.
    """

    def __init__(self, app: Celery | str, name: str | None = None, **settings: Any) -> None:
        if isinstance(app, str):
            if name is not None:
                raise ConfigurationError(f"Inbox({app!r}, {name!r}): the app comes first, as in Inbox(app, {name!r})")
            self._app, self.name = None, check_name(app)
        elif name is None:
            raise ConfigurationError("an inbox needs a name, as in Inbox(app, 'chat')")
        else:
            self._app, self.name = app, check_name(name)
        check_known(settings, f"Inbox({self.name!r})")
        self._keywords = settings
        self._store: Store | None = None
        self._checked = False
        self._lock = threading.RLock()
        self._draining = False
        self._conf: Any = None
        self._always_eager = False
        self.handlers: dict[Kind, Any] = {}
        self._attach()
        _alive.add(self)

    def _attach(self) -> None:
        if self._app is not None:
            self._attach_to(self._app)
            return
        connect_on_app_finalize(self._attach_to)
        for app in _get_active_apps():
            if app.finalized:
                self._attach_to(app)

    def _attach_to(self, app: Any) -> None:
        registry.enlist(app, self)
        app.steps["worker"].add(bootstep.InboxStep)

    def __str__(self) -> str:
        return f"inbox {self.name}"

    def __repr__(self) -> str:
        return f"<Inbox {self.name}>"

    # Binding handlers.

    @overload
    def handler(self, fun: F) -> F: ...
    @overload
    def handler(self, **options: Any) -> Callable[[F], F]: ...
    def handler(self, fun: Any = None, **options: Any) -> Any:
        """Make a function the batch handler: ``handler(batch)``, plain or async.

        Args:
            fun: The function, when used without parentheses.
            **options: ``max_attempts`` (5, 1 to 1000), ``backoff`` (1 s, doubling with jitter up to 10 min),
                and Celery's task options.

        Returns:
            The Celery task. Called with a ``Batch`` it runs the function, which makes a unit test;
            ``delay`` and its kin raise, for an inbox starts its handler by itself.

        Raises:
            ConfigurationError: An option cannot be used here, or the inbox has a handler.
        """
        return self._bind(MESSAGE, fun, options)

    @overload
    def command_handler(self, fun: F) -> F: ...
    @overload
    def command_handler(self, **options: Any) -> Callable[[F], F]: ...
    def command_handler(self, fun: Any = None, **options: Any) -> Any:
        """Make a function the command handler: ``command_handler(command)``; options and errors as ``handler``."""
        return self._bind(COMMAND, fun, options)

    def _bind(self, kind: Kind, fun: Any, options: dict[str, Any]) -> Any:
        policy, celery_options = check_options(options)

        def bind(fun: Callable[..., Any]) -> Any:
            if kind in self.handlers:
                raise ConfigurationError(f"{self} has the handler {self.handlers[kind].name} already")
            base = celery_options.pop("base", None) or (Task if self._app is None else self._app.Task)
            celery_options["base"] = type("HandlerTask", (HandlerTask, base), {"abstract": True})
            celery_options.update(inbox=self, policy=policy, kind=kind)
            bound = shared_task if self._app is None else self._app.task
            shared = {} if self._app is None else {"shared": False}
            self.handlers[kind] = bound(**celery_options, **shared)(fun)
            return self.handlers[kind]

        return bind if fun is None else bind(fun)

    def handler_task(self, kind: Kind) -> Any:
        """The task that handles batches or commands.

        Raises:
            ConfigurationError: None is bound.
        """
        if kind not in self.handlers:
            decorator = "command_handler" if kind == COMMAND else "handler"
            raise ConfigurationError(f"{self} has no {decorator}: decorate a function with @inbox.{decorator}")
        return self.handlers[kind]

    # What everything below stands on.

    @property
    def app(self) -> Any:
        """The Celery app: the one given, else the current one."""
        return self._app if self._app is not None else current_app._get_current_object()

    @cached_property
    def settings(self) -> Settings:
        """Defaults, ``app.conf`` and keywords, merged at first use.

        Raises:
            ConfigurationError: A setting is unknown, out of range, or at odds with another.
        """
        return resolve(self.name, self._keywords, self.app.conf)

    @cached_property
    def codec(self) -> Codec:
        """Encodes and decodes bodies."""
        return Codec(self.settings.serializer, self.settings.max_message_bytes)

    @property
    def eager(self) -> bool:
        """Is every send handled in place? Asked with every send, hence not through ``conf``'s four layers."""
        conf = self.app.conf
        if conf is not self._conf:
            self._conf, self._always_eager = conf, bool(conf.task_always_eager)
        return bool(conf.changes.get("task_always_eager", self._always_eager))

    @cached_property
    def _eager_store(self) -> EagerStore:
        return EagerStore(Terms.of(self.settings))

    @property
    def store(self) -> Store:
        """Where the sessions live."""
        if self.eager:
            return self._eager_store
        if self._store is None:
            self._store = self.open_store()
        return self._store

    def open_store(self) -> RedisStore:
        """A store with connections of its own.

        Raises:
            ConfigurationError: No Redis is configured.
        """
        settings = self.settings
        url = redis_url(settings.redis_url or self.app.conf.broker_url)
        return RedisStore(url, settings.namespace, self.name, Terms.of(settings), settings.socket_timeout)

    def check(self) -> None:
        """Compare settings and server with what this inbox needs; once per process, before the first write.

        Raises:
            ConfigurationError: Partitions or serializer differ from what Redis has recorded, or Redis may evict keys.
            StorageUnavailable: Redis did not answer.
        """
        if self._checked or self.eager:
            return
        settings, store = self.settings, self.open_store()
        partitions, serializer = store.register(settings.partitions, settings.serializer)
        if partitions != settings.partitions:
            raise ConfigurationError(
                f"{self} is set to partitions={settings.partitions}, Redis has recorded {partitions}: set that number"
            )
        if serializer != settings.serializer:
            raise ConfigurationError(
                f"{self} is set to serializer={settings.serializer!r}, Redis has recorded {serializer!r}: set that one"
            )
        policy = store.eviction_policy()
        if policy not in (None, "noeviction"):
            raise ConfigurationError(
                f"Redis has maxmemory-policy {policy}, which may evict waiting messages: set it to noeviction"
            )
        self._checked = True

    # Sending.

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
            StorageUnavailable: Redis did not answer within ``socket_timeout``; send again with the error's ``id``.
        """
        message = self._outgoing(session, body, id, headers, active, flush)
        if not self._checked:
            self._check_for(message)
        store = self.store
        receipt = self._receipt(message, store.send(message))
        if store is not self._store:
            self._run_eager()
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
            self._run_eager()
        return receipt

    def send_many(self, messages: Iterable[tuple[str, Any]]) -> list[Receipt]:
        """Store messages in one round trip, in the order given.

        Args:
            messages: Pairs of session and body.

        Returns:
            One receipt per message.

        Raises:
            InvalidSession, InvalidMessage, MessageTooLarge, ConfigurationError: Nothing was stored.
            InboxFull: Sessions without room refused theirs; the error's ``receipts`` has None for these.
            StorageUnavailable: Redis did not answer; some may be stored.
        """
        outgoing = [self._outgoing(session, body) for session, body in messages]
        if not outgoing:
            return []
        self._check_for(outgoing[0])
        replies = self.store.send_many(outgoing)
        receipts: list[Receipt | None] = []
        full: InboxFull | None = None
        for message, sent in zip(outgoing, replies, strict=True):
            try:
                receipts.append(self._receipt(message, sent))
            except InboxFull as error:
                full = full or error
                receipts.append(None)
        self._run_eager()
        if full is not None:
            full.receipts = receipts
            raise full
        return [receipt for receipt in receipts if receipt is not None]

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
            self._run_eager()
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
        if command or (rules.is_command is not None and self._is_command(rules.is_command, body)):
            place = command_address(session, encoded_id)
            return Outgoing(place, encoded_id, id is None, payload, 0, 0, COMMAND, flags)
        flush = flush or bool(rules.flush_when and self._ask("flush_when", rules.flush_when, body))
        key = "-"
        if rules.batch_key is not None:
            key = digest_of(repr(self._ask("batch_key", rules.batch_key, body)).encode("utf-8", "replace"))
        place = address(session, rules.partitions)
        return Outgoing(
            place, encoded_id, id is None, payload, rules.debounce, rules.max_wait, MESSAGE, flags, key, flush
        )

    @cached_property
    def _rules(self) -> Rules:
        settings = self.settings
        return Rules(
            settings.partitions,
            ms(settings.debounce),
            ms(settings.max_wait),
            settings.is_command,
            settings.flush_when,
            settings.batch_key,
        )

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
            raise ConfigurationError(
                f"{self} was repartitioned to {sent.waiting} partitions, "
                f"this process has {self.settings.partitions}: set inbox_partitions and restart it"
            )
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

    def _run_eager(self) -> None:
        """Handle in place; a send inside a handler waits until its batch is settled."""
        if not self.eager:
            return
        with self._lock:
            if self._draining:
                return
            self._draining = True
            try:
                handle_all(self, self._eager_store)
            finally:
                self._draining = False

    # Looking after sessions.

    def _address(self, session: str) -> Address:
        return address(session, self.settings.partitions)

    def touch(self, session: str) -> int | None:
        """Push the debounce back without a message: somebody is typing.

        Returns:
            When the batch is due now, Unix ms; None when nothing waits.
        """
        return self.store.touch(self._address(session))

    def peek(self, session: str, first: int = 0, last: int = 99) -> SessionView | None:
        """Read a session without changing it.

        Args:
            session: Its name.
            first: Index of the first waiting message to read.
            last: Index of the last one; -1 for all.

        Returns:
            None when the session has no messages.
        """
        view = self.store.peek(self._address(session), first, last)
        if view is None:
            return None
        return SessionView(
            session,
            view.due_at,
            view.lease_end,
            view.waiting,
            tuple(self.codec.decode(element) for element in view.elements),
            view.batch_id,
            view.attempt,
            tuple(self.codec.decode(element) for element in view.batch),
        )

    # Dead letters.

    def _partitions(self) -> Sequence[str]:
        return [*all_partitions(self.settings.partitions), COMMAND_PARTITION]

    def dead_letters(self, most: int = 100) -> list[DeadLetter]:
        """List batches that were set aside after their last attempt, oldest first.

        Args:
            most: How many at most.
        """
        letters = [letter for partition in self._partitions() for letter in self.store.letters(partition, 0, most - 1)]
        letters.sort(key=lambda letter: (letter.at, letter.id))
        return [self._dead_letter(letter) for letter in letters[:most]]

    def _dead_letter(self, letter: Letter) -> DeadLetter:
        return DeadLetter(
            letter.id,
            letter.session,
            letter.at,
            letter.attempts,
            letter.reason,
            letter.traceback,
            tuple(self.codec.decode(element) for element in letter.elements),
            letter.kind == COMMAND,
        )

    def redrive(self, letter: DeadLetter) -> int:
        """Bring a dead letter back to the end of its session, as a batch of its own, due now.

        Returns:
            Messages brought back; 0 when the dead letter is gone, e.g. redriven by somebody else.
        """
        if letter.is_command:
            place = command_address(letter.session, encode_id(letter.messages[0].id))
        else:
            place = self._address(letter.session)
        settings = self.settings
        brought = self.store.redrive(letter.id, place, ms(settings.debounce), ms(settings.max_wait))
        self._run_eager()
        return brought
