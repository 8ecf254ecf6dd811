"""An inbox's tie to its Celery app: settings, handlers, store."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar, overload

from celery import Celery, Task, current_app, shared_task
from celery._state import _get_active_apps, connect_on_app_finalize

from celery_inbox.eager import Eager, InProcess, Kit
from celery_inbox.element import COMMAND, MESSAGE, Codec, Kind
from celery_inbox.errors import ConfigurationError
from celery_inbox.observe import signals
from celery_inbox.settings import Settings, check_known, check_name, resolve
from celery_inbox.store.keys import COMMAND_PARTITION, partition_of_letter
from celery_inbox.store.moves import MOST_EVICTED, Store, Terms
from celery_inbox.store.place import redis_url, refuse_cluster
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.server import product
from celery_inbox.worker import bootstep, full, registry
from celery_inbox.worker.outcome import check_options
from celery_inbox.worker.partitions import all_partitions
from celery_inbox.worker.task import HandlerTask

F = TypeVar("F", bound=Callable[..., Any])
OLDEST_REDIS = (6, 2)

_alive: weakref.WeakSet[BoundInbox] = weakref.WeakSet()


def _start_anew() -> None:
    """Connections must not cross a fork."""
    for inbox in list(_alive):
        inbox._store = None


os.register_at_fork(after_in_child=_start_anew)


class BoundInbox:
    """What sends, handlers and caretakers of an inbox stand on."""

    kit: Kit | None = None
    """The test kit that has taken over: this inbox, or on the class every inbox that no other kit has."""

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
        self._store: RedisStore | None = None
        self._checked = False
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
        app.steps["consumer"].add(full.TakeKicks)

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

    @property
    def in_process(self) -> InProcess | None:
        """What serves this inbox without Redis: a test kit, or eager mode; None with workers."""
        if self.kit is not None:
            return self.kit.serving(self)
        return self._eager if self.eager else None

    @cached_property
    def _eager(self) -> Eager:
        return Eager(self)

    @property
    def store(self) -> Store:
        """Where the sessions live."""
        in_process = self.in_process
        if in_process is not None:
            return in_process.store
        return self.redis_store

    @property
    def redis_store(self) -> RedisStore:
        """Where the sessions live unless this process serves them."""
        if self._store is None:
            self._store = self.open_store()
        return self._store

    def open_store(self, health_check: float = 0) -> RedisStore:
        """A store with connections of its own.

        Args:
            health_check: Seconds of silence after which a connection is tested; for one that only listens.

        Raises:
            ConfigurationError: No Redis is configured.
        """
        settings, conf = self.settings, self.app.conf
        refuse_cluster(conf.broker_url)
        url = redis_url(settings.redis_url or conf.broker_url, conf.broker_transport_options)
        return RedisStore(url, settings.namespace, self.name, Terms.of(settings), settings.socket_timeout, health_check)

    def partition_names(self) -> list[str]:
        """Every partition: the numbered ones, then that of the commands."""
        return [*all_partitions(self.settings.partitions), COMMAND_PARTITION]

    def evict_dead(self) -> tuple[str, ...]:
        """Delete the oldest dead letters beyond ``max_dead``, up to a number; their ids are the reply."""
        store, names = self.store, self.partition_names()
        counts = {name: depth.letters for name, depth in zip(names, store.stats(names), strict=True)}
        excess = min(sum(counts.values()) - self.settings.max_dead, MOST_EVICTED)
        if excess <= 0:
            return ()
        letters = [letter for name in names if counts[name] for letter in store.letters(name, 0, excess - 1)]
        letters.sort(key=lambda letter: (letter.at, letter.id))
        oldest = letters[:excess]
        for letter in oldest:
            store.purge(
                partition_of_letter(letter.id, letter.session, self.settings.partitions), letter.id, evicted=True
            )
        return tuple(letter.id for letter in oldest)

    def check(self) -> None:
        """Compare settings and server with what this inbox needs; once per process, before the first write.

        Raises:
            ConfigurationError: Partitions or serializer differ from what Redis has recorded, or Redis may evict keys.
            Repartitioning: Sessions are being moved to another number of partitions.
            StorageUnavailable: Redis did not answer.
        """
        if self._checked or self.in_process:
            return
        settings, store = self.settings, self.open_store()
        partitions, serializer = store.register(settings.partitions, settings.serializer)
        if partitions != settings.partitions:
            raise ConfigurationError(
                f"{self} is set to partitions={settings.partitions}, Redis has recorded {partitions}: set that number, "
                "or stop all workers of the inbox and run: "
                f"celery -A proj inbox repartition {partitions} {settings.partitions}"
            )
        if serializer != settings.serializer:
            raise ConfigurationError(
                f"{self} is set to serializer={settings.serializer!r}, Redis has recorded {serializer!r}: set that one"
            )
        server = product(store)
        if server is None:
            signals.unverified.send(sender=self, what="maxmemory-policy and version of Redis")
        elif server.policy not in (None, "noeviction"):
            raise ConfigurationError(
                f"Redis has maxmemory-policy {server.policy}, which may evict waiting messages: set it to noeviction"
            )
        elif server.version < OLDEST_REDIS:
            found, oldest = (".".join(map(str, version)) for version in (server.version, OLDEST_REDIS))
            raise ConfigurationError(f"Redis has version {found}, at least {oldest} is needed: upgrade it")
        self._checked = True

    def check_again(self) -> None:
        """Compare once more before the next write: what was recorded is being changed."""
        self._checked = False

    def _moved(self) -> None:
        """A session was moved: what serves this inbox in this process hears of it as a dispatcher would."""
        in_process = self.in_process
        if in_process is not None:
            in_process.moved()
