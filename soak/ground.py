"""What the soak stands on: one Redis for the sessions, and two sides with a broker and workers each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Self

import psutil
from celery import Celery
from docker.errors import APIError
from redis import Redis

from celery_inbox import Batch, Command, Inbox
from celery_inbox.embedded import Server
from celery_inbox.store.keys import COMMAND_PARTITION
from celery_inbox.testing import History
from faults.processes import pool_of
from faults.proxy import Proxy
from nodes.command import launch_command
from nodes.container import Container
from nodes.engine import ProcessEngine
from nodes.images import Image
from nodes.process_group import living_members
from nodes.rabbitmq import PORT as RABBITMQ_PORT
from soak.commits import Commits
from soak.strikes import Strikes
from soak.told import Told

ROOT = Path(__file__).parents[1]
INSIDE = "/celery-inbox"
"""What the project's directory is called in a worker's container."""
IMAGE = Image(["soak"], launch_command)
QUIET_ERLANG = {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"}
"""One scheduler, which sleeps when there is nothing to do."""

LEASE = 3.0
INTERVAL = 1.0
WORKERS = 2
SLOTS = 2
"""Processes of a worker's pool."""
SETTINGS: dict[str, Any] = {
    "debounce": 0.3,
    "max_wait": 1.5,
    "lease": LEASE,
    "dispatch_interval": INTERVAL,
    "partitions": 4,
    "max_batch": 20,
    "dedup_ttl": 300.0,
    "socket_timeout": 1.0,
}


class Unusable(Exception):
    """The machine lacks something that the soak needs; nothing was judged."""


def elsewhere(work: Batch | Command) -> None:
    raise AssertionError(f"handlers run in workers, not here: {work}")


class RedisBroker:
    """A Redis of its own that keeps nothing on disk: its death takes the kicks along."""

    kind = "Redis"

    def __init__(self) -> None:
        self.server = Server()
        self.server.start()
        self.url = self.server.url
        self.client = Redis.from_url(self.url, socket_timeout=2.0)

    def close(self) -> None:
        self.client.close()
        self.server.close()

    def memory(self) -> int:
        """Resident bytes."""
        return resident([self.server.pid])

    def restore(self) -> None:
        """Bring it back, if it is down."""
        self.server.start()


class RabbitBroker:
    """A RabbitMQ node of its own, on ports of its own."""

    kind = "RabbitMQ"

    def __init__(self, engine: ProcessEngine) -> None:
        self.node = engine.containers.run("rabbitmq:3", detach=True, environment=QUIET_ERLANG)
        self.node.reload()
        if self.node.status != "running":
            raise Unusable(f"RabbitMQ did not start:\n{self.node.logs().decode(errors='replace')[-2000:]}")
        self.url = f"amqp://guest:guest@127.0.0.1:{self.node._run.plan.ports[RABBITMQ_PORT]}//"
        self.is_app_stopped = False

    def close(self) -> None:
        self.node.remove(force=True)

    def memory(self) -> int:
        """Resident bytes."""
        return resident(living_members(self.node._run.pid))

    def restore(self) -> None:
        """Bring it back, if it is down."""
        self.node.reload()
        if self.node.status != "running":
            self.node.restart()
        elif self.is_app_stopped:
            self.control("start_app")
        self.is_app_stopped = False

    def control(self, *words: str) -> None:
        """Run ``rabbitmqctl``."""
        code, said = self.node.exec_run(["/usr/lib/rabbitmq/bin/rabbitmqctl", *words])
        if code:
            raise Unusable(f"rabbitmqctl {' '.join(words)}: {said.decode(errors='replace')[-500:]}")


class Side:
    """One broker, one inbox, its workers, and a proxy on every way that the soak may break."""

    def __init__(
        self,
        name: str,
        engine: ProcessEngine,
        broker: RedisBroker | RabbitBroker,
        data: Server,
        out: Path,
        dice: Random,
    ) -> None:
        self.name = name
        self.broker = broker
        self.links = {way: Proxy(url) for way, url in self._ways(data).items()}
        settings = {**SETTINGS, "command_order": dice.choice(["jump", "in_line"]), "namespace": f"soak-{name}"}
        self.handler: Mapping[str, Any] = {
            "max_attempts": 5,
            "backoff": 0.2,
            "on_cancel": dice.choice(["ack", "rejoin"]),
            "on_exhausted": dice.choice(["park", "isolate"]),
        }
        self.history = History(out / f"{name}.history")
        self.commits = Commits(out / f"{name}.commits")
        told = Told(
            name,
            self.links["broker"].url,
            str(self.history.path),
            str(self.commits.path),
            {**settings, "redis_url": self.links["workers"].url},
            dict(self.handler),
        )
        self.senders = self._inbox({**settings, "redis_url": self.links["senders"].url})
        self.direct = self._inbox({**settings, "redis_url": data.url})
        """The same inbox by a way that nothing breaks."""
        self.serves = dice.choice(["all,command", "auto,command"])
        self._environment = {**told.environment(), "CELERY_INBOX": self.serves}
        self._engine = engine
        self.workers: list[Container] = []
        self._seen: dict[str, list[int]] = {}

    def _ways(self, data: Server) -> dict[str, str]:
        return {"workers": data.url, "senders": data.url, "broker": self.broker.url}

    def _inbox(self, settings: dict[str, Any]) -> Inbox:
        app = Celery(self.name, broker=self.broker.url, set_as_current=False)
        inbox = Inbox(app, self.name, **settings)
        inbox.handler(name="soak.reply", **self.handler)(elsewhere)
        inbox.command_handler(name="soak.obey", **self.handler)(elsewhere)
        return inbox

    def __str__(self) -> str:
        settings = self.direct.settings
        words = [self.broker.kind, f"commands {settings.command_order}"]
        words += [f"--inbox {self.serves}"]
        words += [f"{name}={self.handler[name]}" for name in ("on_cancel", "on_exhausted")]
        return f"{self.name} ({', '.join(words)})"

    def start(self) -> None:
        for link in self.links.values():
            link.__enter__()
        for number in range(WORKERS):
            self.workers.append(self._worker(number))

    def _worker(self, number: int) -> Container:
        options = ("--pool", "prefork", "--concurrency", f"{SLOTS}", "--loglevel", "INFO")
        quick = ("--without-mingle", "--without-gossip", "--without-heartbeat")
        container = self._engine.containers.run(
            IMAGE,
            ["celery", "-A", "soak.app", "worker", *options, *quick, "-n", f"{self.name}{number}@%h"],
            detach=True,
            environment=self._environment,
            volumes={str(ROOT): {"bind": INSIDE}},
        )
        container.reload()
        if container.status != "running":
            raise Unusable(f"a worker did not start:\n{container.logs().decode(errors='replace')[-2000:]}")
        return container

    def tend(self, strikes: Strikes) -> int:
        """Start the workers again that have ended, as a supervisor would; how many had."""
        ended = 0
        for worker in self.workers:
            worker.reload()
            if worker.status == "exited":
                strike = strikes.begin("worker ended", self.name)
                strike.killed |= dict.fromkeys(self._seen.get(worker.id, []), strike.at)
                strikes.end(strike)
                ended += 1
                worker.restart()
            self._seen[worker.id] = living_members(main_of(worker))
        return ended

    def heal(self) -> None:
        """End every fault of this side."""
        for link in self.links.values():
            link.heal()
        self.broker.restore()
        for worker in self.workers:
            worker.unpause()

    def memory(self) -> int:
        """Resident bytes of the workers."""
        return sum(resident([main_of(worker), *pool_of(main_of(worker))]) for worker in self.workers)

    def queues(self) -> list[str]:
        """Names of the queues of this inbox at the broker."""
        return [f"{self.name}.{partition}" for partition in self.partitions()]

    def partitions(self) -> list[str]:
        return [*map(str, range(SETTINGS["partitions"])), COMMAND_PARTITION]

    def close(self) -> None:
        for worker in self.workers:
            try:
                worker.remove(force=True)
            except APIError:
                continue
        for link in self.links.values():
            link.__exit__(None, None, None)
        self.broker.close()


class Ground:
    """Everything that runs; all of it ends with the block, or with this process."""

    def __init__(self, out: Path, dice: Random) -> None:
        self.out = out
        self.own_pid = os.getpid()
        self._dice = dice
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        try:
            engine = ProcessEngine()
            self._undo.callback(engine.close)
            self.data = self._undo.enter_context(Server(appendonly=True))
            self.client = Redis.from_url(self.data.url, socket_timeout=2.0)
            self._undo.callback(self.client.close)
            self.sides = []
            for name, broker in (("north", RedisBroker()), ("south", RabbitBroker(engine))):
                side = Side(name, engine, broker, self.data, self.out, self._dice)
                self._undo.callback(side.close)
                self.sides.append(side)
                side.start()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def heal(self) -> None:
        """End every fault."""
        self.data.start()
        self.client.config_set("maxmemory", 0)
        for side in self.sides:
            side.heal()


def main_of(worker: Container) -> int:
    """Process id of a worker's main process."""
    worker.reload()
    pid: int = worker.attrs["State"]["Pid"]
    return pid


def resident(pids: list[int]) -> int:
    """Resident bytes of processes; of the dead none."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
