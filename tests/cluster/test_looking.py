"""What people see of servers that are several: the command check, rights, a broker behind Sentinel."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner

from celery_inbox import Batch, Inbox
from celery_inbox.cli import inbox as commands
from cluster.cluster import Cluster
from cluster.node import PASSWORD
from cluster.sentinel import SERVICE, Watched, watched

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def sentinels() -> Iterator[Watched]:
    with watched() as found:
        yield found


def check(inbox: Inbox) -> dict[str, dict[str, str]]:
    """What ``celery inbox check`` finds, by level and subject."""
    result = CliRunner().invoke(
        commands, ["check", "--json"], obj=SimpleNamespace(app=inbox.app), catch_exceptions=False
    )
    report = json.loads(result.stdout)
    return {level: {each["subject"]: each["found"] for each in report[level]} for level in ("errors", "warnings", "ok")}


def handle(batch: Batch) -> None:
    """Stands for a handler; no test here runs it."""


def inbox_of(broker: str, **settings: Any) -> Inbox:
    app = Celery("proj", broker=broker, set_as_current=False)
    inbox = Inbox(app, "chat", namespace=f"looking-{uuid.uuid4().hex}", partitions=8, **settings)
    inbox.handler(name="proj.reply")(handle)
    return inbox


def test_check_looks_at_every_node(three_nodes: Cluster) -> None:
    """One node that may evict is one too many; the address is shown without its password."""
    inbox = inbox_of("memory://", redis_url=three_nodes.url)
    inbox.send("s", "hello")
    found = check(inbox)
    assert PASSWORD not in str(found)
    assert found["ok"]["redis"].startswith("redis+cluster://:**@")
    assert found["ok"]["eviction"] == "maxmemory-policy is noeviction"
    assert "partitions=8" in found["ok"]["agreement"]
    assert "nothing on disk" in found["warnings"]["persistence"]
    last = three_nodes.nodes[-1]
    last.ask("CONFIG SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert "allkeys-lru" in check(inbox)["errors"]["eviction"]
    finally:
        last.ask("CONFIG SET", "maxmemory-policy", "noeviction")
    assert inbox.forget("s")["messages"] == 1


def test_the_least_rights_suffice_on_a_cluster(three_nodes: Cluster) -> None:
    """Those of the documentation and what it adds for a cluster."""
    text = OPERATIONS.read_text()
    (rights,) = (line for line in text.splitlines() if line.startswith("ACL SETUSER inbox on "))
    more = next(line for line in text.splitlines() if line.startswith("A cluster's user needs also "))
    words = [*rights.split(), *(word for word in more.replace("`", " ").split() if word.startswith("+"))]
    words = [word.replace("~celery-inbox:", "~looking-*:").replace("&celery-inbox:", "&looking-*:") for word in words]
    for node in three_nodes.nodes:
        node.ask(*words)
    try:
        inbox = inbox_of("memory://", redis_url=three_nodes.url.replace(f":{PASSWORD}@", "inbox:secret@"))
        sessions = [f"s{number}" for number in range(20)]
        inbox.send_many([(session, "hello") for session in sessions])
        assert inbox.stats().pending == len(sessions)
        subscription = inbox.open_store().wakes(["0"])
        subscription.close()
        assert sum(inbox.forget(session)["messages"] for session in sessions) == len(sessions)
    finally:
        for node in three_nodes.nodes:
            node.ask("ACL DELUSER", "inbox")


def test_a_broker_behind_sentinel_holds_the_sessions(sentinels: Watched) -> None:
    """With no further setting; check finds both."""
    inbox = inbox_of(sentinels.kombu_url)
    inbox.app.conf.broker_transport_options = {"master_name": SERVICE, "sentinel_kwargs": {"password": PASSWORD}}
    inbox.send("s", "hello")
    assert sentinels.primary.ask("INFO", "keyspace")["db0"]["keys"] > 0
    found = check(inbox)
    assert PASSWORD not in str(found)
    assert found["ok"]["redis"].startswith("sentinel://:**@")
    assert found["ok"]["broker"].startswith("Redis at sentinel://")
    assert inbox.forget("s")["messages"] == 1
