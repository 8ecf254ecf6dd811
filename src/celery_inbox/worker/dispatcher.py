"""The loop that publishes kicks for what is due in an inbox and reclaims leases that have ended."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from celery_inbox.errors import Repartitioning, StorageUnavailable
from celery_inbox.observe import signals
from celery_inbox.store.moves import SHARES, Dispatch, Store
from celery_inbox.worker.drain import tell_exhausted
from celery_inbox.worker.full import is_full
from celery_inbox.worker.patience import pause
from celery_inbox.worker.queues import queue_of
from celery_inbox.worker.shortcut import Shortcut

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox
    from celery_inbox.worker.share import Share

JOIN_TIMEOUT = 0.2
HANDOVER_TICK = 0.05
"""Seconds between two looks whether the consumer has let go of what others wait for."""
HEALTH_CHECK = 20.0
"""Seconds of silence after which the connection that listens for wakes is tested."""


class BrokerAway(Exception):
    """The broker took no kick."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.is_full = is_full(error)
        """Handling what waits is what frees memory, if it is the sessions' Redis too."""


class Dispatcher:
    """One thread of an inbox worker, for one inbox."""

    def __init__(self, inbox: BoundInbox, share: Share, slots: int, shortcut: Shortcut | None = None) -> None:
        self.inbox = inbox
        self.share = share
        self._shortcut = shortcut
        self.slots = slots
        self.store = inbox.open_store(health_check=HEALTH_CHECK)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._look_at: dict[str, float] = {}
        self._share_at = 0.0
        self._share_every = min(inbox.settings.dispatch_interval, inbox.settings.lease / 3)
        self._subscription: Any = None
        self._connection: Any = None
        self._producer: Any = None
        self._failures = 0
        self._asked_at = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._asked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"inbox-dispatcher-{self.inbox.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it is a daemon and holds nothing that matters."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._reach()
                self.renew_share()
                self.look()
                self._sleep()
            except Repartitioning as error:
                # The number that this worker has may be another than the one that comes out of it.
                self.inbox.check_again()
                self._fail("Redis", error)
            except StorageUnavailable as error:
                self._fail("Redis", error)
            except BrokerAway as error:
                self._fail("the broker", error)
            except Exception as error:
                self._fail("the dispatcher", error)
        self._hang_up()

    def _fail(self, what: str, error: Exception) -> None:
        """Tell once per outage, then wait a little longer each time."""
        self._failures += 1
        if self._failures == 1:
            signals.dispatch_failed.send(sender=self.inbox, what=what, exception=error)
        self._unsubscribe()
        self._look_at = dict.fromkeys(self._look_at, 0.0)
        self._share_at = 0.0
        self._stopping.wait(pause(self._failures))

    def _reach(self) -> None:
        """Listen for wakes."""
        self.inbox.check()
        if self._subscription is None:
            self._subscription = self.store.wakes(list(self._look_at))

    def renew_share(self) -> None:
        """Tell that this worker lives, and learn which partitions it serves."""
        now = time.monotonic()
        if now < self._share_at and not self.share.has_moved:
            return
        self.share.renew(self.store)
        self._share_at = now + self._share_every
        partitions, known = self.share.partitions, self._look_at
        new, gone = (
            [each for each in partitions if each not in known],
            [each for each in known if each not in partitions],
        )
        self.store.rewake(self._subscription, new, gone)
        self._look_at = {partition: known.get(partition, 0.0) for partition in partitions}

    def look(self) -> None:
        """Publish the kicks of every partition whose time has come, and reclaim there."""
        now = time.monotonic()
        ripe = [partition for partition, at in self._look_at.items() if at <= now]
        if ripe:
            replies = self.store.dispatch(ripe, os.urandom(6).hex(), self.slots)
            self._excuse_holders()
            for number, (partition, reply) in enumerate(zip(ripe, replies, strict=True)):
                self._look_at[partition] = now + reply.look_in / 1000
                try:
                    self._act(partition, reply)
                except BrokerAway as away:
                    for other, its_reply in zip(ripe[number + 1 :], replies[number + 1 :], strict=True):
                        self._do_without(other, its_reply, away)
                    raise
        self._failures = 0

    def _excuse_holders(self) -> None:
        """After a third of a lease without Redis, give the holders one to renew: they had none either."""
        if time.monotonic() - self._asked_at > self.store.terms.lease / 3000:
            for partition in self._look_at:
                self.store.reclaim(partition, outage=True)
        self._asked_at = time.monotonic()

    def _act(self, partition: str, reply: Dispatch) -> None:
        if reply.expired:
            reclaim(self.inbox, self.store, partition)
            self._look_at[partition] = 0.0
        if reply.kicks:
            try:
                self._publish(partition, reply)
            except Exception as error:
                away = self._broker_away(error)
                self._do_without(partition, reply, away)
                raise away from error
            signals.dispatched.send(sender=self.inbox, partition=partition, kicks=len(reply.kicks))
        if reply.old_kicks:
            self._count_again(partition)

    def _do_without(self, partition: str, reply: Dispatch, away: BrokerAway) -> None:
        """Forget the kicks of a partition; a broker that is full leaves those to this worker that it has slots for."""
        own = reply.kicks[: self._shortcut.room] if away.is_full and self._shortcut else ()
        for kind, kick in own:
            assert self._shortcut is not None
            self._shortcut.hand_over(self.inbox.handler_task(kind), partition, kick)
        if len(own) < len(reply.kicks):
            self.store.unkick(partition, reply.kicks[len(own) :])

    def _count_again(self, partition: str) -> None:
        """Kicks that nobody took for a lease are lost, unless they wait in the broker for a slot."""
        try:
            queue = queue_of(self.inbox, partition)(self._open().channel)
            queue.declare()
            queued = queue.queue_declare().message_count  # asked passively, Redis knows no empty queue
        except Exception as error:
            away = self._broker_away(error)
            if away.is_full:
                # It cannot be asked, and what it lost meanwhile nobody would handle.
                self._do_without(partition, self._forget_old(partition, 0), away)
            raise away from error
        self._act(partition, self._forget_old(partition, queued))

    def _forget_old(self, partition: str, queued: int) -> Dispatch:
        [reply] = self.store.dispatch([partition], os.urandom(6).hex(), self.slots, queued=queued)
        return reply

    def _broker_away(self, error: Exception) -> BrokerAway:
        self._hang_up()
        return BrokerAway(error)

    def _open(self) -> Any:
        """The one producer of this dispatcher."""
        if self._producer is None:
            self._connection = self.inbox.app.connection_for_write()
            self._connection.connect()
            self._producer = self.inbox.app.amqp.Producer(self._connection.channel())
        return self._producer

    def _publish(self, partition: str, reply: Dispatch) -> None:
        producer, queue = self._open(), queue_of(self.inbox, partition)
        for kind, kick in reply.kicks:
            task = self.inbox.handler_task(kind)
            task.kick(partition, kick, producer=producer, queue=queue, exchange="", routing_key=queue.name)

    def _sleep(self) -> None:
        """Until something is due, or somebody says that something is."""
        try:
            self._listen()
        finally:
            # A long sleep is no outage of Redis.
            self._asked_at = time.monotonic()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            left = min([self._share_at, *self._look_at.values()]) - time.monotonic()
            if self.share.has_moved:
                return
            # One look answers all the wakes that have come, hence they are read even when it is time to look.
            patience = min(left, HANDOVER_TICK) if self.share.is_moving else left
            message = self.store.woken(self._subscription, max(patience, 0.0))
            if message is None:
                if left <= 0:
                    return
                continue
            partition, delay = message
            if partition == SHARES:
                self._share_at = 0.0
            elif partition in self._look_at:
                self._look_at[partition] = min(self._look_at[partition], time.monotonic() + delay / 1000)

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                subscription.close()
            except Exception:
                return

    def _hang_up(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                return


def reclaim(inbox: BoundInbox, store: Store, partition: str) -> None:
    """End the leases of a partition that were not renewed."""
    for ended in store.reclaim(partition):
        signals.reclaimed.send(
            sender=inbox,
            address=ended.address,
            fence=ended.fence,
            attempt=ended.attempt,
            outcome=ended.outcome,
            batch_id=ended.batch_id,
        )
        if ended.outcome != "retry":
            tell_exhausted(inbox, ended.address, ended.batch_id, ended.attempt, ended.outcome, "crashed")
