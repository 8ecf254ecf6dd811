"""The inbox inside ``celery worker``: its queues, its dispatchers, its farewell."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.signals import worker_shutting_down

from celery_inbox.element import COMMAND, MESSAGE
from celery_inbox.errors import ConfigurationError, Repartitioning, StorageUnavailable
from celery_inbox.observe import log, signals
from celery_inbox.store.keys import COMMAND_PARTITION
from celery_inbox.worker import registry
from celery_inbox.worker.consuming import Consuming
from celery_inbox.worker.dispatcher import Dispatcher
from celery_inbox.worker.identity import take_identity
from celery_inbox.worker.partitions import AUTO, all_partitions, parse
from celery_inbox.worker.queues import queue_name, queue_of
from celery_inbox.worker.share import Share
from celery_inbox.worker.shortcut import Shortcut

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox

ENVIRONMENT = "CELERY_INBOX"
GREEN_POOLS = ("gevent", "eventlet")
ACKING_POOLS = ("solo", "threads")
"""Pools whose tasks run beside the event loop, without a file descriptor that would wake it."""
LONGEST_ACK = 0.05
"""Seconds for which the event loop may sit on the acknowledgement of a kick."""
FAREWELL_TIMEOUT = 2.0
"""Seconds that a worker waits for its farewell to reach Redis."""


class Service:
    """The dispatchers of one worker."""

    def __init__(self, dispatchers: list[Dispatcher], identity: str) -> None:
        self.dispatchers = dispatchers
        self.identity = identity
        self._told = threading.Event()
        self._farewell = threading.Thread(target=self._mark_stopping, name="inbox-farewell", daemon=True)

    def start(self) -> None:
        worker_shutting_down.connect(self.farewell, weak=False, dispatch_uid=("celery_inbox", self.identity))
        # Started here, for the signal handler that bids farewell must not start a thread: it may have interrupted one.
        self._farewell.start()
        for dispatcher in self.dispatchers:
            dispatcher.start()

    def stop(self) -> None:
        worker_shutting_down.disconnect(dispatch_uid=("celery_inbox", self.identity))
        for dispatcher in self.dispatchers:
            dispatcher.stop()
        if self._told.is_set():
            self._farewell.join(FAREWELL_TIMEOUT)

    def farewell(self, **_: Any) -> None:
        """From now on this worker claims nothing, and what it holds is released if it must be killed."""
        self._told.set()

    def _mark_stopping(self) -> None:
        self._told.wait()
        for dispatcher in self.dispatchers:
            store = dispatcher.inbox.open_store()
            try:
                store.stop(dispatcher.share.partitions, self.identity)
                dispatcher.share.leave(store)
            except StorageUnavailable:
                continue


class InboxStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Serve the partitions that ``--inbox``, ``CELERY_INBOX`` or ``-Q`` name; without any of them do nothing at all."""

    name = "Inbox"
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, inbox: Iterable[str] | None = None, **options: Any) -> None:
        super().__init__(worker, **options)
        words = list(inbox or os.environ.get(ENVIRONMENT, "").replace(";", " ").split())
        queues = worker.app.amqp.queues
        named = selected(queues)
        self.served: dict[BoundInbox, list[str]] = {}
        if not words and not named:
            return
        try:
            self.served = served_by(registry.inboxes_of(worker.app), words, named or [])
            for found in self.served:
                check_pool(found, worker.pool_cls)
        except ConfigurationError as error:
            raise SystemExit(f"celery-inbox: {error}") from error
        if self.served:
            self._subscribe(worker, queues, named or [])
            worker.prefetch_multiplier = 1
            if worker.app.connection_for_read().transport.driver_type == "redis":
                # Even one kick fetched ahead is one that waits here while another worker is free.
                worker.app.conf.worker_disable_prefetch = True
            self.identity = take_identity(worker.hostname)
            log.connect()

    def _subscribe(self, worker: Any, queues: Any, named: list[str]) -> None:
        chosen = list(named)
        worker.kick_queues = set()
        for found, partitions in self.served.items():
            for partition in partitions:
                if partition == AUTO:
                    # Known from the start, for Celery looks only then whether there are quorum queues.
                    worker.kick_queues |= {*self._add(queues, found, all_partitions(found.settings.partitions))}
                else:
                    chosen += self._add(queues, found, [partition])
        worker.kick_queues |= {*chosen} - {*named}
        if not chosen:
            # Nothing until there is a share; to Celery an empty choice would mean everything.
            queues.select(list(queues)[:1])
            queues.deselect(list(queues)[:1])
        queues.select(list(dict.fromkeys(chosen)))

    def _add(self, queues: Any, inbox: BoundInbox, partitions: list[str]) -> list[str]:
        return [queues.add(queue_of(inbox, partition)).name for partition in partitions]

    def include_if(self, worker: Any) -> bool:  # noqa: ARG002
        return bool(self.served)

    def create(self, worker: Any) -> Service:
        for found in self.served:
            try:
                found.check()
            except (ConfigurationError, Repartitioning) as error:
                raise SystemExit(f"celery-inbox: {error}") from error
            except StorageUnavailable as error:
                # Celery waits for a broker that is away at the start; so do we, in the dispatcher.
                signals.dispatch_failed.send(sender=found, what="Redis", exception=error)
        slots = 1 if pool_name(worker.pool_cls) == "solo" else worker.concurrency
        shortcut = Shortcut(worker, slots)
        dispatchers = [
            Dispatcher(found, self._share(worker, found, partitions), slots, shortcut)
            for found, partitions in self.served.items()
        ]
        service = Service(dispatchers, self.identity)
        self._hear_soft_shutdown(worker, service)
        return service

    def _share(self, worker: Any, inbox: BoundInbox, partitions: list[str]) -> Share:
        if AUTO not in partitions:
            return Share(inbox, self.identity, partitions)
        fixed = [partition for partition in partitions if partition != AUTO]
        return Share(inbox, self.identity, fixed, Consuming(inbox, worker))

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Have kicks acknowledged at once; Celery calls this for each connection to the broker.

        Celery puts an acknowledgement aside for the loop's next round. One that a solo pool puts aside while the loop
        reads, or a thread on kombu 5.6, wakes nobody; with prefetch 1 the next kick then comes up to ten seconds later.
        """
        if self.served and pool_name(worker.pool_cls) in ACKING_POOLS:
            hub.call_repeatedly(LONGEST_ACK, lambda: None)

    def _hear_soft_shutdown(self, worker: Any, service: Service) -> None:
        """Celery says that it shuts down only after it has waited for ``worker_soft_shutdown_timeout``."""
        wait = getattr(worker, "wait_for_soft_shutdown", None)
        if wait is not None:

            def say_farewell_and_wait() -> None:
                service.farewell()
                wait()

            worker.wait_for_soft_shutdown = say_farewell_and_wait


def served_by(inboxes: dict[str, BoundInbox], words: list[str], named: list[str]) -> dict[BoundInbox, list[str]]:
    """Partitions that the words of ``--inbox`` and the queues of ``-Q`` mean, by inbox.

    Raises:
        ConfigurationError: They mean an inbox, a partition or a handler that does not exist.
    """
    if words and not inboxes:
        raise ConfigurationError("--inbox was given, but this app has no Inbox: does the worker import its module?")
    served = parse(words, {name: inbox.settings.partitions for name, inbox in inboxes.items()})
    for name, inbox in inboxes.items():
        for partition in [*all_partitions(inbox.settings.partitions), COMMAND_PARTITION]:
            if queue_name(name, partition) in named and partition not in served.get(name, []):
                served.setdefault(name, []).append(partition)
    for name, partitions in served.items():
        if AUTO in partitions and any(partition.isdigit() for partition in partitions):
            raise ConfigurationError(
                f"--inbox: a worker takes a share of {name} (auto) or serves partitions of your choice, not both: "
                f"say {name}=auto, or leave auto out"
            )
        kinds = {COMMAND if partition == COMMAND_PARTITION else MESSAGE for partition in partitions}
        if inboxes[name].settings.command_order == "in_line" and MESSAGE in kinds:
            kinds.add(COMMAND)
        for kind in kinds:
            inboxes[name].handler_task(kind)
    return {inboxes[name]: partitions for name, partitions in served.items()}


def pool_name(pool: Any) -> str:
    """Name of a pool class as ``-P`` has it."""
    module = str(getattr(pool, "__module__", "")).rpartition(".")[2]
    return "threads" if module == "thread" else module


def check_pool(inbox: BoundInbox, pool: Any) -> None:
    """Refuse async handlers where their event loop thread cannot be.

    Raises:
        ConfigurationError: The pool is gevent or eventlet and a handler is async.
    """
    name = pool_name(pool)
    for task in inbox.handlers.values():
        if name in GREEN_POOLS and task.is_async:
            raise ConfigurationError(
                f"{task.name} is an async handler and the pool is {name}: "
                "write it as a plain function, or use -P prefork, threads or solo"
            )


def selected(queues: Any) -> list[str] | None:
    """Queues that ``-Q`` or ``-X`` chose; None when neither was given.

    Celery keeps this in a private attribute; a step gets no other sight of ``-Q``.
    """
    chosen = queues._consume_from
    return None if chosen is None else list(chosen)
