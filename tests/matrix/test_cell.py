"""What must work wherever the inbox runs."""

from celery_inbox.embedded import Server
from crash.load import Load
from crash.scene import BACKOFF, RECOVERY, SOON, Scene, kill, now_ms, seconds_between
from matrix.cells import Cell
from nodes.redis_server import VERSIONS

KILLED = "killed"
KICKS = 20
"""Sessions of a handler with a time limit, thus kicks: each serves one session."""
KICKS_WITHIN = 8.0
"""Seconds; on a quiet machine it is one. An acknowledgement that waits for the event loop's next round takes ten."""


def test_the_scenario(scene: Scene, cell: Cell, data_server: Server) -> None:
    """Bursts, retries, commands, async handlers, many kicks and a SIGKILL under load: the six checks find nothing."""
    assert_that_it_is(scene, cell)
    burst = scene.send_some("burst", 5)
    retry = [scene.send("retry", do="fail").id, *scene.send_some("retry", 2)]
    calm = scene.beside("calm").send_some("calm", 3) if cell.pool != "gevent" else []
    command = scene.send_command("burst", number=1).id

    scene.wait_for_handled("burst", [command, *burst])
    assert [list(run.ids) for run in scene.runs("burst") if command not in run.ids] == [burst]
    scene.wait_for_handled("retry", retry)
    first, second = scene.runs("retry")
    assert list(first.ids) == list(second.ids) == retry
    assert (first.start.batch, second.start.attempt) == (second.start.batch, 2)
    assert first.end is not None
    assert seconds_between(first.end.at, second.start.at) >= BACKOFF / 2
    if calm:
        scene.beside("calm").wait_for_handled("calm", calm)
        assert [list(run.ids) for run in scene.runs("calm")] == [calm]

    began_at, limited = now_ms(), scene.beside("limited")
    row = {f"row-{number}": limited.send(f"row-{number}", flush=True).id for number in range(KICKS)}
    for session, id in row.items():
        limited.wait_for_handled(session, [id])
    assert seconds_between(began_at, now_ms()) < KICKS_WITHIN

    with Load(scene) as load:
        load.wait_for_handled(10, timeout=SOON)
        killed = [scene.send(KILLED, do="wait").id, *scene.send_some(KILLED, 2)]
        scene.wait_for_runs(KILLED, 1)
        later = scene.send_some(KILLED, 2)
        kill(scene.worker)
        scene.worker.restart()
        scene.wait_for_handled(KILLED, killed + later)
        load.wait_for_handled(10, timeout=SOON)
    load.wait_for_all(timeout=SOON)
    cut_off, again, *_ = scene.runs(KILLED)
    assert (again.start.batch, list(again.ids)) == (cut_off.start.batch, killed)
    assert (cut_off.is_successful, again.start.attempt) == (False, 2)
    scene.report(RECOVERY).assert_clean()


def assert_that_it_is(scene: Scene, cell: Cell) -> None:
    """A cell that runs on something else proves nothing."""
    info = ";".join(f"{name}:{value}" for name, value in scene.data.info("server").items())
    assert VERSIONS[cell.server] in info
    log = scene.worker.logs()
    assert f"({POOL_IN_LOG.get(cell.pool, cell.pool)})" in log
    assert ("transport:   redis" in log) == (cell.broker == "redis")
    assert ("Global QoS is disabled" in log) == (cell.broker == "quorum")


POOL_IN_LOG = {"threads": "thread"}
"""How the worker's banner calls a pool."""
