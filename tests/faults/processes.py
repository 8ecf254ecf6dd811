"""Signals to the processes of a worker: one of its pool, its main process, or the whole group."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import psutil

from nodes.process_group import living_members
from waiting import wait_until

Target = Literal["child", "worker", "group"]

SETTLE = 5.0
"""Seconds until the kernel has done what a signal asks for, on a busy machine."""


def pool_of(worker: int) -> list[int]:
    """Ids of the processes in which a worker runs its tasks."""
    try:
        children = psutil.Process(worker).children()
    except psutil.NoSuchProcess:
        return []
    return sorted(child.pid for child in children if is_alive(child.pid))


def members(worker: int, target: Target) -> list[int]:
    """Processes of a worker, by what they are; for ``child`` every one that could be it."""
    if target == "group":
        return living_members(worker)
    return [worker] if target == "worker" else pool_of(worker)


def send(pids: Iterable[int], signum: signal.Signals) -> list[int]:
    """Signal processes; those that were there to hear it."""
    heard = []
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
            heard.append(pid)
    return heard


def kill(pids: Iterable[int]) -> list[int]:
    """SIGKILL processes and wait for their death; those that were alive."""
    struck = send(filter(is_alive, pids), signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, struck)), description=f"{struck} are dead", timeout=SETTLE)
    return struck


@contextmanager
def frozen(pids: Iterable[int]) -> Iterator[list[int]]:
    """SIGSTOP processes for the length of the block, then SIGCONT; which ones stand."""
    struck = send(filter(is_alive, pids), signal.SIGSTOP)
    try:
        wait_until(lambda: all(map(is_frozen, struck)), description=f"{struck} stand", timeout=SETTLE)
        yield struck
    finally:
        send(struck, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    """Whether a process runs or stands; a zombie does neither."""
    return status(pid) not in (None, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def is_frozen(pid: int) -> bool:
    """Whether a process stands, or is beyond that."""
    return status(pid) in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, None)


def status(pid: int) -> str | None:
    """Ask the kernel; None when there is no such process."""
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return None
