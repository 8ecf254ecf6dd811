"""One Redis holds sessions and kicks, and it has reached its memory limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pytest_celery import RedisTestBroker
from redis import OutOfMemoryError

from celery_inbox import StorageFull
from crash.scene import SOON, Scene
from waiting import wait_until

SESSIONS = ("a", "b", "c", "d")


@pytest.fixture(params=["prefork", "threads", "solo"])
def worker_args(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Every pool has its own way to a free slot."""
    return ("--pool", request.param, "--concurrency", "2")


prefork = pytest.mark.parametrize("worker_args", ["prefork"], indirect=True)


@pytest.fixture
def settings(celery_redis_broker: RedisTestBroker) -> dict[str, Any]:
    """Sessions in the broker; time enough to fill it before they are due."""
    return {"redis_url": celery_redis_broker.config()["host_url"], "debounce": 1.5, "max_wait": 3.0}


@contextmanager
def full(scene: Scene) -> Iterator[None]:
    """Nothing can be stored meanwhile, and the kicks that were published before are lost."""
    with scene.data.pipeline() as both:
        for partition in ("0", "1"):
            both.zadd(f"{scene.prefix(partition)}:kicks", {f"mlost{number}": 1 for number in range(len(SESSIONS) + 1)})
        both.config_set("maxmemory", 1)
        both.execute()
    with pytest.raises(OutOfMemoryError):
        scene.data.set("anything", "at all")
    yield
    with pytest.raises(StorageFull):
        scene.inbox.send("a", {"number": 1})
    scene.data.config_set("maxmemory", 0)


def test_what_waits_is_handled_while_redis_is_full_and_all_goes_on_after_it(scene: Scene) -> None:
    """BKP-5: no kick can be stored, so the idle worker hands them to itself; retries too."""
    ids = {session: scene.send_some(session, 3) for session in SESSIONS}
    ids["failing"] = [scene.send("failing", do="fail").id]
    with full(scene):
        scene.worker.assert_log_exists("used memory > 'maxmemory'.); trying again", timeout=SOON)
        for session, sent in ids.items():
            scene.wait_for_handled(session, sent)
        assert scene.recorded_kicks() == 0
    assert [run.is_successful for run in scene.runs("failing")] == [False, True]
    for session in SESSIONS:
        scene.wait_for_handled(session, scene.send_some(session, 3))
    command = scene.send_command("a")
    scene.wait_for_handled("a", [command.id])
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()


@prefork
def test_a_kick_that_a_full_broker_brings_does_not_end_the_worker(scene: Scene) -> None:
    """kombu cannot record it as unacknowledged; the worker takes it all the same, and those that follow."""
    running = [scene.send("running", do="wait", until="go").id, scene.send("running too", do="wait", until="go").id]
    scene.wait_for_runs("running", 1)
    ids = {session: [scene.send(session, flush=True).id] for session in SESSIONS}
    wait_until(lambda: scene.recorded_kicks() > 0, description="a kick lies in the broker")
    with full(scene):
        scene.mark("go")
        for session, sent in {"running": running[:1], **ids}.items():
            scene.wait_for_handled(session, sent)
    scene.wait_for_handled("after", scene.send_some("after", 1))
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()
