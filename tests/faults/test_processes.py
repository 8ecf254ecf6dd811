"""Every signal hits whom it is meant for."""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from faults.processes import frozen, is_alive, is_frozen, kill, members, pool_of, send, status
from waiting import wait_until


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process with two children, a group of their own."""
    script = "sleep 60 & sleep 60 & wait; wait"
    with subprocess.Popen(["/bin/bash", "-c", script], start_new_session=True) as process:
        wait_until(lambda: len(pool_of(process.pid)) == 2, description="both children run")
        yield process
        kill(members(process.pid, "group"))


def test_the_processes_of_a_worker_are_found(worker: subprocess.Popen[bytes]) -> None:
    """Its pool, itself, all of them."""
    pool = members(worker.pid, "child")
    assert len(pool) == 2
    assert members(worker.pid, "worker") == [worker.pid]
    assert sorted(members(worker.pid, "group")) == sorted([worker.pid, *pool])


def test_a_killed_child_is_dead_and_the_others_are_not(worker: subprocess.Popen[bytes]) -> None:
    """The dead are not struck twice."""
    first, second = pool_of(worker.pid)
    assert kill([first]) == [first]
    assert not is_alive(first)
    assert is_alive(second)
    assert is_alive(worker.pid)
    assert kill([first]) == []


def test_a_group_is_killed_whole(worker: subprocess.Popen[bytes]) -> None:
    """Nobody is left."""
    group = members(worker.pid, "group")
    assert sorted(kill(group)) == sorted(group)
    assert not any(map(is_alive, group))


def test_sigterm_is_heard(worker: subprocess.Popen[bytes]) -> None:
    """By a child, which ends."""
    first, _ = pool_of(worker.pid)
    assert send([first], signal.SIGTERM) == [first]
    wait_until(lambda: not is_alive(first), description="the child has ended")


@pytest.mark.parametrize("target", ["child", "worker", "group"])
def test_frozen_processes_stand_and_go_on(worker: subprocess.Popen[bytes], target: str) -> None:
    """Only for the length of the block, only those."""
    meant = members(worker.pid, target)  # type: ignore[arg-type]
    others = set(members(worker.pid, "group")) - set(meant)
    with frozen(meant) as struck:
        assert struck == meant
        assert all(map(is_frozen, meant))
        assert not any(map(is_frozen, others))
    wait_until(lambda: not any(map(is_frozen, meant)), description="all go on")


def test_a_process_that_never_was_is_not_struck() -> None:
    """Nor is it an error: it may have died a moment ago."""
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    assert status(process.pid) is None
    assert send([process.pid], signal.SIGTERM) == []
