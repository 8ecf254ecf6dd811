"""Real workers whose sessions live in a cluster or behind Sentinel, through the loss of a primary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from celery_inbox.testing.events import Sent
from celery_inbox.testing.violations import Dup, Lost
from cluster.cluster import Cluster, cluster
from cluster.sentinel import Watched, watched
from crash.conftest import (
    celery_rabbitmq_broker,
    conf,
    default_worker_app_module,
    handler,
    scene,
    told,
    worker_env,
    worker_pythonpath,
)
from crash.load import Load
from crash.scene import RECOVERY, SOON, Scene, kill, now_ms, seconds_between, worker_of
from waiting import wait_until

__all__ = [
    "celery_rabbitmq_broker",
    "conf",
    "default_worker_app_module",
    "handler",
    "scene",
    "told",
    "worker_env",
    "worker_pythonpath",
]

SENDS_AGAIN = 15.0
"""Seconds from the fault to the next send that is accepted."""
WORKS_AGAIN = 30.0
"""Seconds from the fault until workers consume."""
LOSABLE = 4.0
"""Age in seconds, when a replica becomes primary, of the messages whose last write it may not have had."""
SPLIT = 0.5
"""Seconds after that in which the old primary may still accept, until it notices that it has no replica."""
PARTITIONS = 8

Servers = Cluster | Watched


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"partitions": PARTITIONS}


@pytest.fixture
def serves() -> str:
    return "chat=auto,command limited=auto"


@pytest.fixture(params=["cluster", "sentinel"])
def data_server(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Servers of which the first has a replica."""
    with cluster(replicas=1) if request.param == "cluster" else watched() as servers:
        yield servers


@pytest.mark.parametrize("fault", ["demote", "kill"])
def test_all_goes_on_by_itself_when_a_replica_takes_over(scene: Scene, data_server: Servers, fault: str) -> None:
    """FOV-1, FOV-2: sends fail typed in the gap, then all goes on; what can be missing is of the last moment."""
    with Load(scene, sessions=2 * PARTITIONS) as load:
        load.wait_for_handled(20, timeout=SOON)
        at = now_ms()
        {"demote": data_server.demote, "kill": data_server.kill}[fault]()
        wait_until(data_server.has_promoted, description="the replica to be primary", timeout=SENDS_AGAIN)
        promoted_at = now_ms()
        accepted = load.accepted
        wait_until(lambda: load.accepted >= accepted + len(load.ids), description="sends accepted", timeout=SENDS_AGAIN)
        assert seconds_between(at, now_ms()) <= SENDS_AGAIN
        load.wait_for_handled(2 * len(load.ids), timeout=WORKS_AGAIN)
        assert seconds_between(at, now_ms()) <= WORKS_AGAIN
        if fault == "kill":
            assert load.refused > 0, "nobody noticed"
        wait_until(data_server.is_over, description="the old primary to be gone or a replica", timeout=WORKS_AGAIN)
        load.wait_for_handled(len(load.ids), timeout=WORKS_AGAIN)
    wait_until(lambda: scene.inbox.stats().due == 0, description="nothing due any more", timeout=WORKS_AGAIN)
    wait_until(lambda: scene.inbox.stats().running == 0, description="every run settled", timeout=WORKS_AGAIN)
    found = scene.report(WORKS_AGAIN)
    is_coordinated = fault == "demote" and isinstance(data_server, Cluster)
    found.assert_clean(allow=() if is_coordinated else {"LOST", "DUP"})
    sent_at = {(sent.session, sent.id): sent.at for sent in scene.history.read().events if isinstance(sent, Sent)}
    for violation in found.violations:
        assert isinstance(violation, Lost | Dup)
        at = sent_at[violation.session, violation.id]
        assert -LOSABLE <= seconds_between(promoted_at, at) <= SPLIT, violation


class TestOnRabbitMQ:
    """The broker is RabbitMQ, the sessions are in a cluster."""

    @pytest.fixture
    def broker(self) -> str:
        return "rabbitmq"

    @pytest.fixture
    def data_server(self, three_nodes: Cluster) -> Cluster:
        return three_nodes

    def test_bursts_commands_retries_and_a_killed_worker(self, scene: Scene) -> None:
        """What a cluster must not change."""
        other = scene.start_worker()
        sent = {f"s{number}": scene.send_some(f"s{number}", 5) for number in range(2 * PARTITIONS)}
        command = scene.send_command("s0").id
        sent["retried"] = [scene.send("retried", do="fail", attempts=2).id]
        for session, ids in sent.items():
            scene.wait_for_handled(session, ids)
        assert command in scene.handled("s0")
        waits = scene.send("killed", do="wait").id
        (killed,) = scene.wait_for_runs("killed", 1)
        at = kill(worker_of(killed.start.pid, scene.worker, other))
        scene.wait_for_handled("killed", [waits])
        assert seconds_between(at, scene.runs("killed")[1].start.at) <= RECOVERY
        scene.assert_clean()
