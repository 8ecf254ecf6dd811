"""Random faults at random instants, from two threads, so that faults meet."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import TypeAlias

from amqp.exceptions import AMQPError
from docker.errors import APIError
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from celery_inbox.testing.history import now_ms
from faults import kicks
from faults.processes import frozen, kill, members, send
from faults.redis_server import empty, end, full, kill_clients, scripts_forgotten
from nodes.container import Container
from soak.ground import LEASE, Ground, RabbitBroker, RedisBroker, Side, main_of
from soak.strikes import Strike, Strikes

MEAN_GAP = 2.5
"""Seconds between two faults of a thread, on average."""
LONGEST = 2 * LEASE
"""Seconds that a fault lasts at most."""
GRACE = 1.5
"""Seconds between SIGTERM and SIGKILL in a deploy that does not wait."""

Fault: TypeAlias = Callable[[Side, Strike], None]


class Chaos:
    """Strikes as long as it runs; what it has begun it ends."""

    def __init__(self, ground: Ground, strikes: Strikes, seed: str) -> None:
        self.ground = ground
        self.strikes = strikes
        self.error: BaseException | None = None
        self.restarted: Counter[str] = Counter()
        """Workers that had ended by themselves, by side."""
        self._over = threading.Event()
        self._seed = seed
        self._threads: list[threading.Thread] = []
        self._storms = 0

    def start(self) -> None:
        self._over.clear()
        self._storms += 1
        groups = {"processes": self.on_processes(), "places": self.on_places()}
        self._threads = [
            threading.Thread(
                target=self._run, args=(faults, Random(f"{self._seed} {name} {self._storms}")), name=name, daemon=True
            )
            for name, faults in groups.items()
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when the last fault has ended and everything is whole again."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error
        self.ground.heal()
        self.tend()

    def _run(self, faults: Mapping[str, tuple[int, Callable[[Random, Side, Strike], None]]], dice: Random) -> None:
        try:
            while not self._over.wait(min(dice.expovariate(1 / MEAN_GAP), 3 * MEAN_GAP)):
                name = dice.choices(list(faults), [weight for weight, _ in faults.values()])[0]
                if threading.current_thread().name == "processes":
                    self.tend()
                self.strike(name, faults[name][1], dice, dice.choice(self.ground.sides))
        except BaseException as error:
            self.error = error

    def strike(self, name: str, fault: Callable[[Random, Side, Strike], None], dice: Random, side: Side) -> None:
        strike = self.strikes.begin(name, "both" if name.startswith("redis ") else side.name)
        try:
            fault(dice, side, strike)
        except (APIError, RedisError, OSError, OperationalError, AMQPError):
            pass  # what was to be struck is down already
        finally:
            self.strikes.end(strike)

    def tend(self) -> None:
        """Look after the workers; only one thread may."""
        for side in self.ground.sides:
            self.restarted[side.name] += side.tend(self.strikes)

    def last(self, seconds: float) -> None:
        """Let a fault last, or until the storm is over."""
        self._over.wait(seconds)

    # Processes.

    def on_processes(self) -> dict[str, tuple[int, Callable[[Random, Side, Strike], None]]]:
        return {
            "kill child": (4, self.kill_child),
            "term child": (1, self.term_child),
            "kill worker": (3, self.kill_worker),
            "deploy": (2, self.deploy),
            "hasty deploy": (2, self.hasty_deploy),
            "freeze child": (3, self.freeze("child")),
            "freeze main": (1, self.freeze("worker")),
            "freeze worker": (2, self.freeze("group")),
            "freeze and kill": (1, self.freeze_and_kill),
        }

    def kill_child(self, dice: Random, side: Side, strike: Strike) -> None:
        pool = members(main_of(dice.choice(side.workers)), "child")
        note(strike, kill(dice.sample(pool, min(1, len(pool)))))

    def term_child(self, dice: Random, side: Side, strike: Strike) -> None:
        pool = members(main_of(dice.choice(side.workers)), "child")
        note(strike, send(dice.sample(pool, min(1, len(pool))), signal.SIGTERM))

    def kill_worker(self, dice: Random, side: Side, strike: Strike) -> None:
        worker = dice.choice(side.workers)
        group = members(main_of(worker), "group")
        worker.kill("SIGKILL")
        note(strike, group)
        self.last(dice.uniform(0, 2))
        worker.restart()

    def deploy(self, dice: Random, side: Side, strike: Strike) -> None:
        """SIGTERM, wait for the end, start anew."""
        self._replace(dice.choice(side.workers), 15.0, strike)

    def hasty_deploy(self, dice: Random, side: Side, strike: Strike) -> None:
        self._replace(dice.choice(side.workers), dice.uniform(0, GRACE), strike)

    def _replace(self, worker: Container, grace: float, strike: Strike) -> None:
        group = members(main_of(worker), "group")
        worker.stop(grace)
        worker.reload()
        if worker.attrs["State"]["ExitCode"]:
            note(strike, group)
        strike.did = len(group)
        worker.restart()

    def freeze(self, target: str) -> Callable[[Random, Side, Strike], None]:
        def freeze(dice: Random, side: Side, strike: Strike) -> None:
            main = main_of(dice.choice(side.workers))
            pids = members(main, target)  # type: ignore[arg-type]
            if target == "child":
                pids = dice.sample(pids, min(1, len(pids)))
            with frozen(pids) as struck:
                strike.frozen |= set(struck)
                strike.did = len(struck)
                self.last(dice.uniform(0.2, LONGEST))

        return freeze

    def freeze_and_kill(self, dice: Random, side: Side, strike: Strike) -> None:
        worker = dice.choice(side.workers)
        group = members(main_of(worker), "group")
        with frozen(group) as struck:
            strike.frozen |= set(struck)
            self.last(dice.uniform(0.2, LONGEST))
            worker.kill("SIGKILL")
            note(strike, struck)
        worker.restart()

    # Servers, ways, kicks.

    def on_places(self) -> dict[str, tuple[int, Callable[[Random, Side, Strike], None]]]:
        return {
            "redis restart": (3, self.restart_redis),
            "redis CLIENT KILL": (3, self.kill_clients),
            "redis SCRIPT FLUSH": (2, self.forget_scripts),
            "redis full": (1, self.fill_redis),
            "cut": (3, self.cut),
            "drop replies": (4, self.drop_replies),
            "delay": (2, self.delay),
            "black hole": (3, self.black_hole),
            "broker restart": (2, self.restart_broker),
            "broker emptied": (2, self.empty_broker),
            "kicks changed": (3, self.change_kicks),
            "stray kicks": (2, self.stray_kicks),
        }

    def restart_redis(self, dice: Random, side: Side, strike: Strike) -> None:
        strike.is_away = True
        end(self.ground.data, kill=dice.random() < 0.7)
        strike.did = 1
        self.last(dice.uniform(0, LEASE))
        self.ground.data.start()

    def kill_clients(self, dice: Random, side: Side, strike: Strike) -> None:
        strike.did = kill_clients(self.ground.client)

    def forget_scripts(self, dice: Random, side: Side, strike: Strike) -> None:
        with (
            Redis.from_url(self.ground.data.url, socket_timeout=2.0) as own,
            scripts_forgotten(own) as flushes,
        ):
            self.last(dice.uniform(0.5, 2))
        strike.did = flushes.done

    def fill_redis(self, dice: Random, side: Side, strike: Strike) -> None:
        with full(self.ground.client):
            strike.did = 1
            self.last(dice.uniform(0.5, 3))

    def cut(self, dice: Random, side: Side, strike: Strike) -> None:
        strike.did = side.links[dice.choice(list(side.links))].cut()

    def drop_replies(self, dice: Random, side: Side, strike: Strike) -> None:
        link = side.links[dice.choice(["workers", "workers", "senders", "broker"])]
        before = link.dropped
        link.drop_reply(dice.randint(1, 10))
        self.last(1.0)
        strike.did = link.dropped - before

    def delay(self, dice: Random, side: Side, strike: Strike) -> None:
        way = dice.choice(list(side.links))
        strike.is_away = way == "workers"
        side.links[way].delay(dice.randint(20, 800))
        self.last(dice.uniform(0.5, LEASE))
        side.links[way].delay(0)
        strike.did = 1

    def black_hole(self, dice: Random, side: Side, strike: Strike) -> None:
        way = dice.choice(list(side.links))
        link = side.links[way]
        strike.is_away = way == "workers"
        before = link.swallowed
        link.black_hole()
        self.last(dice.uniform(0.3, LONGEST))
        link.heal()
        strike.did = link.swallowed - before

    def restart_broker(self, dice: Random, side: Side, strike: Strike) -> None:
        broker = side.broker
        if isinstance(broker, RedisBroker):
            end(broker.server, kill=dice.random() < 0.7)
        elif dice.random() < 0.5:
            broker.is_app_stopped = True
            broker.control("stop_app")
        else:
            broker.node.kill("SIGKILL")
        strike.did = 1
        self.last(dice.uniform(0, 3))
        broker.restore()

    def empty_broker(self, dice: Random, side: Side, strike: Strike) -> None:
        if isinstance(side.broker, RedisBroker):
            strike.did = empty(side.broker.client)
        else:
            strike.did = purge(side)

    def change_kicks(self, dice: Random, side: Side, strike: Strike) -> None:
        if isinstance(side.broker, RabbitBroker):
            strike.did = purge(side)
            return
        ends_at = time.monotonic() + LONGEST
        while not strike.did and not self._over.wait(0.02) and time.monotonic() < ends_at:
            self._change_once(dice, side, side.broker, strike)

    def _change_once(self, dice: Random, side: Side, broker: RedisBroker, strike: Strike) -> None:
        for queue in side.queues():
            change = dice.choice(["delete", "double", "reorder", "misaddress"])
            match change:
                case "delete":
                    strike.did += kicks.delete(broker.client, queue)
                case "double":
                    strike.did += kicks.double(broker.client, queue)
                case "reorder":
                    strike.did += kicks.reorder(broker.client, queue, dice)
                case _:
                    strike.did += kicks.misaddress(broker.client, queue)

    def stray_kicks(self, dice: Random, side: Side, strike: Strike) -> None:
        """Kicks that no dispatcher has published; some of them twice under one id."""
        task = side.direct.handler_task("m")
        for _ in range(dice.randint(1, 10)):
            partition = dice.choice(side.partitions()[:-1])
            for _ in range(dice.randint(1, 3)):
                task.kick(partition, f"stray-{dice.random()}", queue=f"{side.name}.{partition}", exchange="")
                strike.did += 1


def note(strike: Strike, pids: list[int]) -> None:
    """Write down who was killed."""
    strike.killed |= dict.fromkeys(pids, now_ms())
    strike.did = len(strike.killed)


def purge(side: Side) -> int:
    """Empty every queue of a RabbitMQ broker; how many kicks lay there."""
    with side.direct.app.connection_for_write() as connection:
        channel = connection.default_channel
        return sum(channel.queue_purge(queue) or 0 for queue in side.queues())
