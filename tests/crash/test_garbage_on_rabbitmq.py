"""Somebody publishes to the queues of an inbox on RabbitMQ: garbage, pickles, tasks that are none."""

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection
from pytest_celery import CeleryBrokerCluster, RabbitMQTestBroker

from crash.scene import Scene, has_exited
from waiting import wait_until

KICK = json.dumps([["chat", "0", "m"], {}, {}]).encode()
TASK = {"task": "chat.reply", "id": "garbage", "lang": "py"}
JSON = "application/json"

FOREIGN: dict[str, tuple[bytes, str | None, dict[str, Any]]] = {
    "pickle": (pickle.dumps({"never": "loaded"}), "application/x-python-serialize", TASK),
    "bytes": (b"\x80\x04garbage\xff", None, {}),
    "an unknown content type": (KICK, "application/x-nobody", TASK),
    "no JSON": (b"\xff{", JSON, TASK),
    "no task": (b'{"hello": "you"}', JSON, {}),
    "a list": (b"[]", JSON, {}),
    "unknown task": (KICK, JSON, {**TASK, "task": "no.such.task"}),
    "wrong arguments": (b'[["chat"], {}, {}]', JSON, TASK),
    "no triple": (b'"just text"', JSON, TASK),
    "no callbacks": (b'[["chat", "0", "m"], {}, "x"]', JSON, TASK),
    "no id": (KICK, JSON, {"task": "chat.reply"}),
    "protocol 1": (b'{"task": "chat.reply", "id": "x", "args": 5}', JSON, {}),
}
REFUSED = {"it does not name": 4, "it has no id": 1, "it cannot be read": 1}
"""Why, and how many of these, a handler's task refused; Celery puts the others aside."""


@pytest.fixture
def celery_broker_cluster(celery_rabbitmq_broker: RabbitMQTestBroker) -> Iterator[CeleryBrokerCluster]:
    cluster = CeleryBrokerCluster(celery_rabbitmq_broker)
    yield cluster
    cluster.teardown()


@pytest.fixture
def connection(scene: Scene) -> Iterator[Connection]:
    with Connection(scene.setup.app.conf.broker_url) as connection:
        yield connection


def left(connection: Connection, queue: str) -> int:
    """Messages of a queue that nobody has taken; those that were taken and not acknowledged are not counted."""
    found: int = connection.default_channel.queue_declare(queue, passive=True).message_count
    return found


def test_messages_that_are_no_kicks_do_not_stop_a_worker(scene: Scene, connection: Connection) -> None:
    """SEC-5: every kind on every queue; the same worker handles what is sent after each, and none comes back."""
    channel = connection.default_channel
    for number, (name, (body, content_type, headers)) in enumerate(FOREIGN.items()):
        for queue in scene.queues():
            message = channel.prepare_message(
                body, content_type=content_type, content_encoding="utf-8", headers=headers
            )
            channel.basic_publish(message, exchange="", routing_key=queue)
        wait_until(lambda: not any(left(connection, queue) for queue in scene.queues()), description=f"{name} is taken")
        scene.wait_for_handled(f"s{number}", [scene.send(f"s{number}", flush=True).id])
        assert not has_exited(scene.worker), name
    scene.send_command("a")
    wait_until(
        lambda: any(run.kind == "command" and run.is_successful for run in scene.runs("a")),
        description="the command is handled",
    )
    log = scene.worker.logs()
    assert {
        fault: log.count(f"Received invalid task message: no kick of inbox chat: {fault}") for fault in REFUSED
    } == {fault: number * len(scene.queues()) for fault, number in REFUSED.items()}
    assert "Unrecoverable" not in log
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()
