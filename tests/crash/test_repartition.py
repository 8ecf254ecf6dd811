"""DEP-1: the number of partitions changes under load, and what changes it is killed on the way."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from celery_inbox import ConfigurationError, Repartitioning
from crash.load import Load
from crash.scene import SOON, Scene, has_exited
from waiting import wait_until

OLD, MORE, FEWER = 8, 12, 5
KILLS = (12, 15, 12, 11)
"""Calls before which the command is killed: all is frozen; a page is placed, not cleared; again; a page is packed."""
BACKOFF = 4.0
"""Seconds; longer than a worker needs to end."""
AWAY = 120.0
"""Seconds for which there may be no worker, nor a number that all agree on."""


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "8")


@pytest.fixture
def settings() -> dict[str, int]:
    return {"partitions": OLD}


@pytest.fixture
def handler() -> dict[str, float]:
    return {"max_attempts": 2, "backoff": BACKOFF}


@pytest.fixture
def serves() -> str:
    return "chat=all,command"


def repartition(scene: Scene, old: int, new: int, kill_at: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    words = ("inbox", "repartition", str(old), str(new), "--inbox", "chat", "--yes", "--json")
    return celery(scene, *words, KILL_AT=str(kill_at))


def celery(scene: Scene, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"CRASH_SCENE": json.dumps(scene.told), "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    command = [sys.executable, "-m", "celery", "-A", "crash.mover", "-b", scene.setup.app.conf.broker_url, *words]
    environment = {**os.environ, **given}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def end_worker(scene: Scene) -> None:
    scene.worker.kill(signal.SIGTERM)
    wait_until(lambda: has_exited(scene.worker), description="the worker has ended", timeout=SOON)


def test_sessions_survive_a_change_of_partitions(scene: Scene) -> None:
    """Backlog of every kind, producers all the while, a mover that is killed four times; then once more to fewer."""
    scene.mark("cause")
    dead = [f"dead-{number}" for number in range(4)]
    for session in dead:
        scene.send(session, do="fail", attempts=99, flush=True)
    idle = {f"idle-{number}": f"id-{number}" for number in range(20)}
    for session, id in idle.items():
        scene.send(session, id=id, flush=True)
    wait_until(lambda: len(scene.inbox.dead_letters()) == len(dead), description="all are dead", timeout=SOON)
    for session, id in idle.items():
        scene.wait_for_handled(session, [id])
    failing = [f"failing-{number}" for number in range(10)]
    for session in failing:
        scene.send(session, do="fail", during="cause", flush=True)
    tried = {session: scene.wait_for_runs(session, 1)[0].start.batch for session in failing}

    refused = repartition(scene, OLD, MORE)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nothing was moved: workers live: " in refused.stderr

    end_worker(scene)
    assert {run.start.attempt for session in failing for run in scene.runs(session)} == {1}
    scene.unmark("cause")
    paused = {f"paused-{number}": list[str]() for number in range(5)}
    for session, ids in paused.items():
        scene.inbox.pause(session)
        ids += scene.send_some(session, 2)
    idle_paused = [f"idle-paused-{number}" for number in range(5)]
    for session in idle_paused:
        scene.inbox.pause(session)
    commands = [scene.send_command("commanded").id for _ in range(3)]

    with Load(scene) as load:
        for kill_at in KILLS:
            assert repartition(scene, OLD, MORE, kill_at).returncode == -signal.SIGKILL
        with pytest.raises(Repartitioning) as meanwhile:
            scene.inbox.send("meanwhile", {}, id="mine")
        assert meanwhile.value.id == "mine"
        worker = celery(scene, "worker", "-P", "solo", "--inbox", "chat=all")
        assert worker.returncode != 0
        assert "celery-inbox: sessions are being moved to another number of partitions" in worker.stderr
        other_target = repartition(scene, OLD, FEWER)
        assert other_target.returncode == 2
        assert f"inbox repartition {OLD} {MORE}" in other_target.stderr
        moved = repartition(scene, OLD, MORE)
        assert moved.returncode == 0, moved.stderr
        assert json.loads(moved.stdout)["partitions"] == MORE
        scene.inbox.check_again()
        with pytest.raises(ConfigurationError, match=f"{OLD}.*inbox repartition {MORE} {OLD}"):
            scene.inbox.check()
        worker = celery(scene, "worker", "-P", "solo", "--inbox", "chat=all")
        assert worker.returncode != 0
        assert f"run: celery -A proj inbox repartition {MORE} {OLD}" in worker.stderr
        scene.deploy(MORE)
        scene.worker.restart()
        load.wait_for_handled(20, SOON)
    assert load.refused > 0
    load.wait_for_all(SOON)
    for session in failing:
        first, again = scene.wait_for_runs(session, 2)
        assert (again.start.batch, again.start.attempt, again.ids) == (tried[session], 2, first.ids)
    wait_until(lambda: set(commands) <= set(scene.handled("commanded")), description="the commands are handled")

    end_worker(scene)
    assert repartition(scene, MORE, FEWER).returncode == 0
    needless = repartition(scene, MORE, FEWER)
    assert (needless.returncode, json.loads(needless.stdout)["sessions"]) == (1, 0)
    scene.deploy(FEWER)
    scene.worker.restart()

    for session, id in idle.items():
        assert scene.inbox.send(session, {}, id=id).status == "duplicate"
    for session in idle_paused:
        paused[session] = scene.send_some(session, 1)
    scene.send_some("new", 1)
    scene.wait_for_runs("new", 1)
    assert [run for session in paused for run in scene.runs(session)] == []
    for session, ids in paused.items():
        assert scene.inbox.resume(session)
        scene.wait_for_handled(session, ids)
    letters = scene.inbox.dead_letters()
    assert sorted(letter.session for letter in letters) == dead
    scene.report(AWAY).assert_clean()
    stats = scene.inbox.stats()
    assert stats.pending == 0
    assert stats.dead == len(dead)
    assert stats.accepted == stats.handled + stats.dead
    assert [scene.inbox.purge(letter) for letter in letters] == [1] * len(dead)
