"""What a disaster test stands on: an inbox to send to, the history of what workers did, marks that steer handlers."""

import os
import time
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from typing import Any

from celery import Celery
from pytest_celery import CeleryTestSetup, CeleryTestWorker
from redis import Redis, RedisError

from celery_inbox import Batch, Command, Inbox, Receipt
from celery_inbox.store.keys import COMMAND_PARTITION, partition_prefix
from celery_inbox.store.link import link
from celery_inbox.testing import History, Report, Run, check, runs
from celery_inbox.testing.violations import Check
from faults.points import Points
from nodes.process_group import living_members
from waiting import wait_until

LEASE = 2.0
DISPATCH_INTERVAL = 1.0
DEBOUNCE = 0.2
BACKOFF = 0.5
RECOVERY = LEASE + DISPATCH_INTERVAL + 2.0
"""Seconds from a death, or from the loss of a kick, to the next start: promise 9 and two seconds for a busy machine."""
SOON = 20.0
"""Seconds for what has no bound of its own."""

SETTINGS: dict[str, Any] = {
    "debounce": DEBOUNCE,
    "max_wait": 1.5,
    "lease": LEASE,
    "dispatch_interval": DISPATCH_INTERVAL,
    "partitions": 2,
}


def elsewhere(work: Batch | Command) -> None:
    raise AssertionError("handlers run in workers")


class Scene:
    """One inbox with its history."""

    def __init__(
        self,
        setup: CeleryTestSetup,
        told: dict[str, Any],
        start_worker: Callable[..., CeleryTestWorker],
        name: str = "chat",
        redis_url: str | None = None,
    ) -> None:
        self.setup = setup
        self.told = told
        self.start_worker = start_worker
        self.history = History(told["history"])
        self.marks = Path(told["marks"])
        self.points = Points(self.marks)
        self.name = name
        self.settings = told["settings"] if redis_url is None else {**told["settings"], "redis_url": redis_url}
        self._bind()
        self.data: Any = link(told["settings"]["redis_url"], SOON).client

    @cached_property
    def broker(self) -> Redis:
        """The broker, when it is Redis."""
        return Redis.from_url(self.setup.app.conf.broker_url)

    def _bind(self) -> None:
        self.app = Celery("sender", broker=self.setup.app.conf.broker_url, set_as_current=False)
        inbox = Inbox(self.app, self.name, **self.settings)
        inbox.handler(name=f"{self.name}.reply")(elsewhere)
        inbox.command_handler(name=f"{self.name}.command")(elsewhere)
        self.inbox = inbox

    def deploy(self, partitions: int) -> None:
        """Restart the senders with another number of partitions; workers have it when they start next."""
        (self.marks / "partitions").write_text(str(partitions))
        self.settings = {**self.settings, "partitions": partitions}
        self._bind()

    def close(self) -> None:
        self.data.close()
        if "broker" in self.__dict__:
            self.broker.close()

    def beside(self, name: str) -> "Scene":
        """The other inbox of the same workers, with the same history."""
        return Scene(self.setup, self.told, self.start_worker, name)

    @property
    def worker(self) -> CeleryTestWorker:
        return self.setup.worker

    # Sending.

    def send(self, session: str, *, id: str | None = None, flush: bool = False, **body: Any) -> Receipt:
        """Send a message and write it down."""
        receipt = self.inbox.send(session, body, id=id, flush=flush)
        self.history.sent(session, receipt, kind="batch")
        return receipt

    def send_some(self, session: str, number: int) -> list[str]:
        """Send plain messages; their ids."""
        return [self.send(session, number=each).id for each in range(number)]

    def send_command(self, session: str, **body: Any) -> Receipt:
        receipt = self.inbox.send_command(session, body)
        self.history.sent(session, receipt, kind="command")
        return receipt

    # Steering handlers.

    def mark(self, name: str) -> None:
        (self.marks / name).touch()

    def unmark(self, name: str) -> None:
        (self.marks / name).unlink()

    def is_marked(self, name: str) -> bool:
        return (self.marks / name).exists()

    # Looking.

    def runs(self, session: str | None = None) -> list[Run]:
        """Runs in the order in which they began."""
        return [run for run in runs(self.history.read().events) if session in (None, run.session)]

    def wait_for_runs(self, session: str, number: int, timeout: float = SOON) -> list[Run]:
        """Wait until so many runs of a session have begun."""
        wait_until(
            lambda: len(self.runs(session)) >= number,
            description=f"{number} runs of {session!r}",
            timeout=timeout,
        )
        return self.runs(session)

    def handled(self, session: str | None = None) -> list[str]:
        """Ids in the order in which they were handled."""
        return [id for run in self.runs(session) if run.is_successful for id in run.ids]

    def wait_for_handled(self, session: str, ids: Collection[str], timeout: float = SOON) -> None:
        """Wait until all of these were handled and the inbox has heard of it."""
        wait_until(
            lambda: set(ids) <= set(self.handled(session)) and self.inbox.peek(session) is None,
            description=f"{len(ids)} messages of {session!r} handled and acknowledged",
            timeout=timeout,
        )

    def report(self, bound: float = RECOVERY) -> Report:
        """Judge the history with what is in Redis now."""
        waiting, dead = [], []
        for session in self.sessions():
            view = self.inbox.peek(session, 0, -1)
            if view is not None:
                waiting += [(session, message.id) for message in (*view.batch, *view.messages)]
        for letter in self.inbox.dead_letters(10_000):
            dead += [(letter.session, message.id) for message in letter.messages]
        return check(self.history.read().events, waiting=waiting, dead=dead, bound=bound)

    def sessions(self) -> set[str]:
        """Sessions of the history."""
        return {event.session for event in self.history.read().events}

    def assert_clean(self, *, allow: Collection[Check] = ()) -> None:
        self.report().assert_clean(allow=allow)

    # Keys, for the few tests that put something in there or look at what is outside of the contract.

    def key(self, part: str, session: str) -> str:
        """Key of a session's list ``w`` or ``b``, or hash ``s``."""
        place = self.inbox._address(session)
        return f"{self.prefix(place.partition)}:{part}:{place.digest}"

    def partition_of(self, session: str) -> str:
        return self.inbox._address(session).partition

    def prefix(self, partition: str) -> str:
        settings = self.inbox.settings
        return partition_prefix(settings.namespace, self.inbox.name, partition)

    def queues(self) -> list[str]:
        """Names of the queues of this inbox at the broker."""
        partitions = [*map(str, range(self.inbox.settings.partitions)), COMMAND_PARTITION]
        return [f"{self.inbox.name}.{partition}" for partition in partitions]

    def kicks_at_the_broker(self) -> int:
        """Kicks that wait in a queue or are somebody's and unacknowledged."""
        keys = [key for queue in self.queues() for key in (queue, *(f"{queue}\x06\x16{step}" for step in (3, 6, 9)))]
        return sum(int(self.broker.llen(key)) for key in keys) + int(self.broker.hlen("unacked"))

    def recorded_kicks(self) -> int:
        """Kicks that the inbox believes to be under way."""
        partitions = map(str, range(self.inbox.settings.partitions))
        return sum(int(self.data.zcard(f"{self.prefix(partition)}:kicks")) for partition in partitions)


def seconds_between(earlier: int, later: int) -> float:
    """Convert two instants of a history, Unix ms."""
    return (later - earlier) / 1000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def answers(server: Redis) -> bool:
    """Whether a server does what it is told; one that loads its data does not yet."""
    try:
        return bool(server.ping())
    except RedisError:
        return False


# Processes.


def main_pid(worker: CeleryTestWorker) -> int:
    worker.container.reload()
    pid: int = worker.container.attrs["State"]["Pid"]
    return pid


def has_exited(worker: CeleryTestWorker) -> bool:
    worker.container.reload()
    return bool(worker.container.status == "exited")


def kill(worker: CeleryTestWorker, pid: int | None = None) -> int:
    """SIGKILL a worker with all its processes; when, Unix ms. One that is frozen has its pid asked for before."""
    group = pid or main_pid(worker)
    worker.container.reload()
    worker.container.kill("SIGKILL")
    assert living_members(group) == []
    return now_ms()


def worker_of(pid: int, *workers: CeleryTestWorker) -> CeleryTestWorker:
    """The worker whose process that is."""
    return next(worker for worker in workers if main_pid(worker) == os.getpgid(pid))
