"""A signal to a pool process, its worker, or both, at each of five points of the drain."""

import os
import signal

import pytest

from celery_inbox.testing.violations import Check, Dup, Overlap
from crash.scene import SOON, Scene, has_exited, now_ms
from faults.points import AFTER_CLAIM, AFTER_HANDLER, IN_HANDLER, POINTS
from faults.processes import Target, is_alive, is_frozen, members, send
from waiting import wait_until

LEASE = 1.0
INTERVAL = 0.5
STANDS = 2 * LEASE + INTERVAL
"""Seconds for which a stopped process stands: somebody else has had its batch by then."""

ENDS = 45.0
"""Seconds for a worker's end: at times billiard's pool process waits 30 of them for its last result to be read."""

EVERY = {
    (signal.SIGKILL, "child"), (signal.SIGKILL, "worker"), (signal.SIGKILL, "group"),
    (signal.SIGTERM, "child"), (signal.SIGTERM, "worker"), (signal.SIGTERM, "group"),
    (signal.SIGSTOP, "child"), (signal.SIGSTOP, "worker"), (signal.SIGSTOP, "group"),
}  # fmt: skip
SOME = {(signal.SIGKILL, "child"), (signal.SIGKILL, "group"), (signal.SIGSTOP, "child")}
CHOSEN = EVERY if os.environ.get("FAULTS") == "all" else SOME
"""``FAULTS=all`` for every one; the soak strikes with all of them at random instants."""

DOUBLED = {
    signal.SIGKILL: {AFTER_HANDLER},
    signal.SIGTERM: {AFTER_HANDLER},
    signal.SIGSTOP: {AFTER_CLAIM, IN_HANDLER, AFTER_HANDLER},
}
"""Where a batch may be handled twice, promise 4: handled, and not acknowledged."""


@pytest.fixture
def settings() -> dict[str, float]:
    """Five recoveries in a row."""
    return {"lease": LEASE, "dispatch_interval": INTERVAL}


@pytest.mark.parametrize(("signum", "target"), sorted(CHOSEN, key=str), ids=lambda value: getattr(value, "name", value))
def test_a_batch_survives_a_signal_at_every_point(scene: Scene, signum: signal.Signals, target: Target) -> None:
    """Handled, in order, before what came later; twice only where its end was not heard."""
    if signum == signal.SIGSTOP:
        scene.start_worker()
    for point in POINTS:
        scene.points.arm(point, signum, target)
        ids = scene.send_some(point, 2)
        wait_until(lambda point=point: scene.points.struck(point), description=f"struck {point}", timeout=SOON)  # type: ignore[misc]
        pid = scene.points.struck(point)
        assert pid is not None
        undergo(scene, signum, target, pid)
        later = scene.send_some(point, 2)
        scene.wait_for_handled(point, ids + later)
    doubled = {found.session for found in scene.report().violations if isinstance(found, Dup)}
    assert doubled <= DOUBLED[signum]
    if target == "child" and signum != signal.SIGTERM:
        assert AFTER_HANDLER in doubled
    allow: set[Check] = {"DUP", "OVERLAP"} if signum == signal.SIGSTOP else {"DUP"}
    scene.assert_clean(allow=allow)
    overlapped = {found.session for found in scene.report().violations if isinstance(found, Overlap)}
    assert overlapped <= DOUBLED[signum]


def undergo(scene: Scene, signum: signal.Signals, target: Target, pid: int) -> None:
    """See that the signal has done what it does, and bring back what it has ended."""
    if signum == signal.SIGSTOP:
        group = os.getpgid(pid)
        stopped = [pid] if target == "child" else members(group, target)
        wait_until(lambda: all(map(is_frozen, stopped)), description="the processes stand")
        ends_at = now_ms() + STANDS * 1000
        wait_until(lambda: now_ms() >= ends_at, description="they stand for long enough", timeout=STANDS + 5)
        assert send(stopped, signal.SIGCONT) == stopped
    elif target == "child":
        wait_until(lambda: not is_alive(pid), description="the pool process is dead", timeout=SOON)
    else:
        wait_until(lambda: has_exited(scene.worker), description="the worker has ended", timeout=ENDS)
        scene.worker.restart()
