"""What befalls a Redis server: connections cut, scripts forgotten, a database emptied, death, no memory left."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from redis import Redis, RedisError

from celery_inbox.embedded import Server
from waiting import wait_until


def kill_clients(server: Redis) -> int:
    """End every connection but the caller's own of this moment; how many there were."""
    return sum(int(server.client_kill_filter(_type=kind, skipme=True)) for kind in ("normal", "pubsub"))


@dataclass
class Flushes:
    """How often scripts were forgotten."""

    done: int = 0


@contextmanager
def scripts_forgotten(server: Redis, every: float = 0.01) -> Iterator[Flushes]:
    """``SCRIPT FLUSH`` again and again while the block runs; a server that is away is spared meanwhile.

    Args:
        server: A client of this thread's own.
        every: Seconds between two.
    """
    flushes, over = Flushes(), threading.Event()

    def flush() -> None:
        while not over.wait(every):
            try:
                server.script_flush()
            except RedisError:
                continue
            flushes.done += 1

    thread = threading.Thread(target=flush, name="script flush", daemon=True)
    thread.start()
    try:
        yield flushes
    finally:
        over.set()
        thread.join()


def empty(database: Redis) -> int:
    """``FLUSHDB``; how many keys there were."""
    with database.pipeline(transaction=True) as both:
        both.dbsize()
        both.flushdb()
        keys, _ = both.execute()
    return int(keys)


def end(server: Server, *, kill: bool) -> None:
    """Stop a server in peace or by SIGKILL; it is dead when this returns, and ``start`` brings it back."""
    if kill:
        os.kill(server.pid, signal.SIGKILL)
    else:
        server.stop()
    wait_until(lambda: not server.is_running, description="the server is dead")


@contextmanager
def full(server: Redis) -> Iterator[None]:
    """Have no memory for commands that may need any, while the block runs."""
    server.config_set("maxmemory", 1)
    try:
        yield
    finally:
        server.config_set("maxmemory", 0)


def promote(replica: Redis) -> None:
    """Make a replica a primary: ``REPLICAOF NO ONE``."""
    replica.replicaof("NO", "ONE")
    wait_until(lambda: replica.info("replication")["role"] == "master", description="the replica is a primary")


def follow(replica: Redis, primary: Server) -> None:
    """Make a server the replica of another, with its password, and wait until it has everything."""
    host, port, password = (Redis.from_url(primary.url).connection_pool.connection_kwargs[key] for key in PLACE)
    replica.config_set("masterauth", password)
    replica.replicaof(host, port)
    replica.config_set("requirepass", password)
    replica.connection_pool.connection_kwargs["password"] = password
    wait_until(lambda: is_caught_up(replica), description="the replica has everything")


PLACE = ("host", "port", "password")


def is_caught_up(replica: Redis) -> bool:
    """Whether a replica's link is up and its first copy done."""
    told = replica.info("replication")
    return bool(told["role"] == "slave" and told["master_link_status"] == "up" and not told["master_sync_in_progress"])
