"""What people say stays in the sessions' server: no log line, task event, inspection or broker key holds any of it."""

import base64
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from celery_inbox.element import Header, pack
from crash.scene import SOON, Scene, has_exited
from waiting import wait_until

CANARY = "the-canary-sings-at-dawn-7f3a9c"


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    """Every event is sent, and INFO lines are written."""
    return ("--pool", "prefork", "--concurrency", "2", "-E", "--loglevel", "INFO")


@pytest.fixture
def handler() -> dict[str, int]:
    return {"max_attempts": 2}


@pytest.fixture
def conf() -> dict[str, bool]:
    return {"worker_send_task_events": True, "task_send_sent_event": True, "result_extended": True}


def forms(text: str) -> list[bytes]:
    """A text as it stands, and as each of the three ways in which it can lie within base64."""
    coded = [base64.b64encode(b"x" * shift + text.encode())[4:-4] for shift in range(3)]
    return [text.encode(), *coded]


def sings(said: Any) -> bool:
    heard = said if isinstance(said, bytes) else repr(said).encode()
    return any(form in heard for form in forms(CANARY))


class Wire:
    """Everything that is said to a server while the block runs."""

    def __init__(self, server: Redis) -> None:
        self.commands: list[str] = []
        self._monitor = server.monitor()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Wire":
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(SOON)

    def _listen(self) -> None:
        for command in self._monitor.listen():
            self.commands.append(command["command"])
            if self._over.is_set():
                return


@pytest.fixture
def events(scene: Scene) -> Iterator[list[dict[str, Any]]]:
    """Celery's task events as they come."""
    app, heard, over = scene.setup.app, list[dict[str, Any]](), threading.Event()

    def listen() -> None:
        with app.connection() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": heard.append})
            while not over.is_set():
                try:
                    receiver.capture(limit=None, timeout=0.2, wakeup=False)
                except TimeoutError:
                    continue

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield heard
    over.set()
    thread.join(SOON)


def send_canaries(scene: Scene, deed: str) -> list[str]:
    """Send to a session of a deed: body, headers, id and name hold the canary."""
    receipt = scene.inbox.send(
        f"{deed}-{CANARY}",
        {"do": deed, "until": "go", "attempts": 2, "text": CANARY},
        id=f"{deed}-{CANARY}",
        headers={"by": CANARY},
    )
    scene.history.sent(f"{deed}-{CANARY}", receipt, kind="batch")
    return [receipt.id]


def inspected(scene: Scene) -> dict[str, Any]:
    """What a worker says when it is asked."""
    inspect = scene.setup.app.control.inspect([scene.worker.hostname()], timeout=5)
    asked: list[Callable[[], Any]] = [
        inspect.active, inspect.reserved, inspect.scheduled, inspect.revoked, inspect.stats, inspect.registered,
        inspect.active_queues,
    ]  # fmt: skip
    said = {each.__name__: each() for each in asked}
    ids = [task["id"] for tasks in said["active"].values() for task in tasks]
    said["query_task"] = inspect.query_task(*ids)
    return said


def contents(server: Redis) -> list[bytes]:
    """All keys of a server with their values."""
    read: dict[Any, Callable[[bytes], Any]] = {
        b"string": server.get,
        b"list": lambda key: server.lrange(key, 0, -1),
        b"set": server.smembers,
        b"hash": server.hgetall,
        b"zset": lambda key: server.zrange(key, 0, -1),
    }
    return [repr((key, read[server.type(key)](key))).encode() for key in server.scan_iter()]


def test_a_canary_is_heard_nowhere_but_where_sessions_live(scene: Scene, events: list[dict[str, Any]]) -> None:
    """SEC: handled, failed, dead, killed, too slow, quarantined, commanded; at INFO, with events, while inspected."""
    limited = scene.beside("limited")
    with Wire(scene.broker) as wire:
        for deed in ("wait", "fail", "drop_dead"):
            send_canaries(scene, deed)
        send_canaries(limited, "ignore_the_soft_limit")
        scene.inbox.send(f"plain-{CANARY}", CANARY, flush=True)
        wait_until(lambda: scene.is_marked("go") or scene.runs(f"wait-{CANARY}"), description="a handler runs")
        for element in (
            CANARY.encode(),
            pack(Header("m", "a", 1, 9, "-", "id"), f'{{"{CANARY}'.encode()),
        ):
            scene.data.rpush(scene.key("w", f"wait-{CANARY}"), element)
        scene.inbox.send(f"wait-{CANARY}", {"text": CANARY}, flush=True)
        asked = inspected(scene)
        scene.mark("go")
        receipt = scene.inbox.send_command(f"command-{CANARY}", {"text": CANARY, "do": "fail"}, headers={"by": CANARY})
        assert receipt.status == "command"
        wait_until(
            lambda: len(scene.inbox.dead_letters()) >= 1 and scene.inbox.stats().quarantined >= 2,
            description="a dead letter and two quarantined elements",
            timeout=60,
        )
        wait_until(
            lambda: not any(inbox.stats().due + inbox.stats().running for inbox in (scene.inbox, limited.inbox)),
            description="nothing is left to do",
            timeout=60,
        )
        kept = contents(scene.broker)
    assert not has_exited(scene.worker)
    log = scene.worker.logs()
    heard = {
        "log": [line for line in log.splitlines() if sings(line.encode())],
        "events": [event for event in events if sings(event)],
        "broker's commands": [command for command in wire.commands if sings(command.encode())],
        "broker's keys": [key for key in kept if sings(key)],
        "inspect": [name for name, said in asked.items() if sings(said)],
    }
    assert not any(heard.values()), heard

    # What was listened to did speak.
    assert "failed on attempt 1" in log
    assert "is dead after" in log
    assert "quarantined" in log
    assert "WorkerLostError" in log
    assert "time limit" in log
    assert {"task-received", "task-started", "task-retried"} <= {event["type"] for event in events}
    assert any("chat.reply" in command for command in wire.commands)
    assert any(asked["active"].values())
    assert any(sings(key) for key in contents(scene.data))
    assert all(sings(base64.b64encode(b"x" * shift + CANARY.encode())) for shift in range(3))
    assert any(letter.session == f"fail-{CANARY}" for letter in scene.inbox.dead_letters())
