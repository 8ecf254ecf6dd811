"""What ``deploy/`` holds can be deployed: command lines, times, probes, units, the server's configuration."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
import redis
from celery import Celery

from celery_inbox import Inbox
from celery_inbox.embedded.local_server import free_port
from celery_inbox.embedded.source import find_binary
from celery_inbox.settings import Settings
from celery_inbox.worker.partitions import parse
from waiting import wait_until

from .command_lines import DEPLOY, command_lines, documents, parsed
from .markdown import ROOT

COMPOSE = DEPLOY / "compose.yaml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNITS = sorted(DEPLOY.glob("*.service"))
WITH_WORKERS = {
    ROOT / "Procfile": 3,
    DEPLOY / "Procfile.example": 2,
    DEPLOY / "Dockerfile": 1,
    COMPOSE: 2,
    DEPLOY / "kubernetes" / "workers.yaml": 1,
    DEPLOY / "kubernetes" / "command.yaml": 1,
    **dict.fromkeys(UNITS, 1),
}
"""Files that start workers, with how many kinds of them."""
FILES = sorted({*WITH_WORKERS, *(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")})
STOPPING = 10
"""Seconds that Celery may take to end after its last handler; 1 to 3 were measured."""
GRACE = re.compile(
    r"Longest handler: (\d+) s\.\n(?:.*\n)*?"
    r".*(?:TimeoutStopSec=|stop_grace_period: |terminationGracePeriodSeconds: )(\d+)"
)
PASSWORD = "secret"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Command lines.


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_command_line_is_understood(file: Path) -> None:
    """By the options of the installed Celery and of this library; the words of ``--inbox`` mean partitions."""
    found = [(words, parsed(words)) for words in command_lines(file)]
    serving = [options["inbox"] for words, options in found if words[3] == "worker"]
    assert len(serving) == WITH_WORKERS.get(file, 0)
    for words in serving:
        assert parse(words, {"chat": Settings().partitions})["chat"]


def test_a_wrong_command_line_is_noticed(tmp_path: Path) -> None:
    """In a unit, in a list of YAML, in a comment."""
    for number, text in enumerate(
        (
            "ExecStart=/srv/bot/.venv/bin/celery -A bot worker --inbocks auto\n",
            "command: [celery, -A, bot, worker, --concurrence, '1']\n",
            "# probe with celery -A bot inbox health --timeout soon\n",
        )
    ):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        (words,) = command_lines(file)
        with pytest.raises(click.UsageError):
            parsed(words)


# Times.


@pytest.mark.parametrize("file", [*UNITS, COMPOSE, *MANIFESTS], ids=name)
def test_a_worker_is_given_the_time_its_handler_needs(file: Path) -> None:
    """KILL comes when the longest handler that the file names has ended, and Celery too."""
    times = [(int(handler), int(grace)) for handler, grace in GRACE.findall(file.read_text())]
    assert len(times) == WITH_WORKERS.get(file, 0)
    assert [(handler, grace) for handler, grace in times if grace < handler + STOPPING] == []


def probes() -> dict[str, tuple[str, float]]:
    """The shell line of each probe with the seconds it is given."""
    found = {}
    for file in MANIFESTS:
        for document in documents(file):
            for container in containers(document):
                for kind in ("startupProbe", "livenessProbe"):
                    if kind in container:
                        shell, option, line = container[kind]["exec"]["command"]
                        assert (shell, option) == ("sh", "-c")
                        found[f"{container['name']} {kind}"] = (line, container[kind]["timeoutSeconds"])
    for service, said in documents(COMPOSE)[0]["services"].items():
        if service != "redis":
            kind, line = said["healthcheck"]["test"]
            assert kind == "CMD-SHELL"
            found[f"compose {service}"] = (line.replace("$$", "$"), float(said["healthcheck"]["timeout"].rstrip("s")))
    return found


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a Deployment; none of another document."""
    return document["spec"]["template"]["spec"]["containers"] if document["kind"] == "Deployment" else []


PROBES = probes()


def test_every_worker_is_probed() -> None:
    """At its start and while it lives."""
    pods = {f"{role} {kind}" for role in ("worker", "command") for kind in ("startupProbe", "livenessProbe")}
    assert set(PROBES) == pods | {"compose worker", "compose command"}


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_ends_before_it_is_ended(probe: str) -> None:
    """Python's start, on a busy machine, and ``--timeout`` fit into its time."""
    line, seconds = PROBES[probe]
    options = parsed(line.partition(" ||")[0].split())
    assert options["timeout"] + 5 <= seconds


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(("code", "passes"), [(0, True), (1, False), (2, False), (3, True)])
def test_an_outage_of_redis_restarts_no_worker(probe: str, code: int, passes: bool, tmp_path: Path) -> None:
    """The shell line itself, with a command that ends so."""
    celery = tmp_path / "celery"
    celery.write_text(f"#!/bin/sh\nexit {code}\n")
    celery.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(["sh", "-c", PROBES[probe][0]], env={"PATH": path}, check=False, timeout=30)
    assert (ended.returncode == 0) == passes


# Kubernetes.


def test_budgets_select_the_pods_of_their_deployment() -> None:
    """By labels that the pods have; the autoscaler's target exists."""
    all_of = [document for file in MANIFESTS for document in documents(file)]
    pods = {each["metadata"]["name"]: each["spec"] for each in all_of if each["kind"] == "Deployment"}
    budgets = [each for each in all_of if each["kind"] == "PodDisruptionBudget"]
    assert {each["metadata"]["name"] for each in budgets} == {"bot-worker", "bot-command"}
    for each in budgets:
        labels = pods[each["metadata"]["name"]]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"] == labels
    (scaled,) = (each["spec"] for each in all_of if each["kind"] == "ScaledObject")
    assert "replicas" not in pods[scaled["scaleTargetRef"]["name"]]
    assert 1 <= scaled["minReplicaCount"] < scaled["maxReplicaCount"] <= Settings().partitions / 4


@contextmanager
def demand(inbox: Inbox) -> Iterator[str]:
    """The URL of ``demand.py``, serving."""
    server = runpy.run_path(str(DEPLOY / "kubernetes" / "demand.py"))["serve"](inbox, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_autoscaler_reads_what_there_is_to_do(own_url: str) -> None:
    """Nothing to do: no lag. A session that nobody serves: a lag that grows. Its fields are those of the triggers."""
    inbox = Inbox(Celery("demand", set_as_current=False), "demand", redis_url=own_url, debounce=0.0)
    (scaled,) = (
        each for each in documents(DEPLOY / "kubernetes" / "autoscaling.yaml") if each["kind"] == "ScaledObject"
    )

    def told(url: str) -> dict[str, float]:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, float] = json.load(answer)
        return found

    with demand(inbox) as url:
        assert told(url) == {"lag": 0.0, "running": 0}
        inbox.send("ada", "hi")
        wait_until(lambda: told(url)["lag"] > 0.2, description="the session is late")
        assert set(told(url)) == {trigger["metadata"]["valueLocation"] for trigger in scaled["spec"]["triggers"]}


def test_the_autoscaler_is_told_nothing_while_redis_is_away() -> None:
    """No number at all, for 0 would end workers."""
    inbox = Inbox(Celery("demand", set_as_current=False), "demand", redis_url=f"redis://127.0.0.1:{free_port()}/0")
    with demand(inbox) as url, pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=30)
    with refused.value as answer:
        assert answer.code == 503


# systemd.


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=name)
def test_systemd_has_nothing_to_say_against_a_unit(unit: Path, tmp_path: Path) -> None:
    """No unknown key, no value that cannot be read."""
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/srv/bot/.venv/bin/celery", shutil.which("true") or ""))
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    copy.write_text(copy.read_text().replace("KillMode=", "KilMode="))
    wrong = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert "KilMode" in wrong.stderr


# Redis.


@contextmanager
def served(command: list[str], directory: Path) -> Iterator[redis.Redis]:
    """A client of a server that was started so, on a free port of the loopback, with its data in a directory."""
    port = free_port()
    own = [*command, "--port", str(port), "--bind", "127.0.0.1"]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(own, cwd=directory, stdout=log, stderr=log)
        password = PASSWORD if "--requirepass" in command else None
        client = redis.Redis(host="127.0.0.1", port=port, password=password, decode_responses=True)
        try:
            wait_until(lambda: answers(client, process.pid), description="the server answers", timeout=30)
            yield client
        finally:
            client.close()
            process.kill()
            process.wait()


def answers(client: redis.Redis, pid: int) -> bool:
    """Whether that very process answers."""
    try:
        return bool(client.info("server")["process_id"] == pid)
    except redis.exceptions.ConnectionError:
        return False


def of_compose() -> list[str]:
    """The command of the compose file, as it is in its container."""
    program, conf, *options = documents(COMPOSE)[0]["services"]["redis"]["command"]
    mounted = documents(COMPOSE)[0]["services"]["redis"]["volumes"]
    assert f"./redis.conf:{conf}:ro" in mounted
    assert program == "redis-server"
    return [
        str(find_binary()),
        str(DEPLOY / "redis.conf"),
        *(PASSWORD if "PASSWORD" in option else option for option in options),
    ]


@pytest.mark.parametrize("by", ["redis.conf", "compose.yaml"])
def test_a_real_server_takes_the_configuration_and_keeps_what_it_was_given(by: str, tmp_path: Path) -> None:
    """Append-only file, nothing evicted; killed, it comes back with everything."""
    command = of_compose() if by == "compose.yaml" else [str(find_binary()), str(DEPLOY / "redis.conf")]
    with served(command, tmp_path) as client:
        said = {key: client.config_get(key)[key] for key in ("maxmemory-policy", "appendonly", "appendfsync", "save")}
        assert said == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        assert client.config_get("maxmemory") == {"maxmemory": str(1 << 30)}
        client.set("kept", "yes")
    with served(command, tmp_path) as client:
        assert client.get("kept") == "yes"
