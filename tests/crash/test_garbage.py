"""Somebody writes into the queues and lists: garbage, pickles, elements that are none."""

import base64
import json
import pickle
from typing import Any

import pytest

from crash.scene import SOON, Scene, has_exited
from waiting import wait_until

BOOM = base64.b64encode(pickle.dumps({"never": "loaded"})).decode()


def envelope(
    body: str, content_type: str, task: str | None = "chat.reply", encoding: str = "utf-8", **headers: Any
) -> str:
    """A message as kombu's Redis transport stores it."""
    task_headers = {"task": task, "id": "garbage", "lang": "py", "argsrepr": "", "kwargsrepr": "", **headers}
    return json.dumps(
        {
            "body": body,
            "content-type": content_type,
            "content-encoding": encoding,
            "headers": {} if task is None else task_headers,
            "properties": {
                "correlation_id": "garbage",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "chat.0"},
                "delivery_tag": "garbage",
                "body_encoding": "base64",
            },
        }
    )


def plain(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


REFUSABLE = {
    "pickle": envelope(BOOM, "application/x-python-serialize", encoding="binary"),
    "unknown task": envelope(plain([["chat", "0", "m"], {}, {}]), "application/json", "no.such.task"),
    "no envelope": '{"not": "an envelope"}',
    "wrong arguments": envelope(plain([["chat"], {}, {}]), "application/json"),
    "another inbox": envelope(plain([["mail", "0", "m"], {}, {}]), "application/json"),
    "a partition that is none": envelope(plain([["chat", "0}:x", "m"], {}, {}]), "application/json"),
    "no triple": envelope(plain("just text"), "application/json"),
    "a number": envelope(plain(5), "application/json"),
    "no callbacks": envelope(plain([["chat", "0", "m"], {}, "x"]), "application/json"),
    "no JSON": envelope(base64.b64encode(b"\xff{").decode(), "application/json"),
    "no base64": envelope("=", "application/json"),
    "no encoding": envelope(plain([["chat", "0", "m"], {}, {}]), "application/json", encoding="no such encoding"),
    "an unknown content type": envelope(plain([["chat", "0", "m"], {}, {}]), "application/x-nobody"),
    "no id": envelope(plain([["chat", "0", "m"], {}, {}]), "application/json", id=None),
    "a list as id": envelope(plain([["chat", "0", "m"], {}, {}]), "application/json", id=["x"]),
    "strange time limits": envelope(plain([["chat", "0", "m"], {}, {}]), "application/json", timelimit="x"),
    "strange eta": envelope(plain([["chat", "0", "m"], {}, {}]), "application/json", eta="tomorrow"),
    "protocol 1": envelope(plain({"task": "chat.reply", "id": "x", "args": 5}), "application/json", None),
    "protocol 1 without arguments": envelope(plain({"task": "chat.reply"}), "application/json", None),
    "no task": envelope(plain({"hello": "you"}), "application/json", None),
}
"""Messages that are put aside: by Celery, or by a handler's task, which takes kicks only."""


def test_messages_that_are_no_kicks_do_not_stop_a_worker(scene: Scene) -> None:
    """SEC-5: pickles and malformed messages on partition and command queues; the same worker handles later kicks."""
    for number, (name, message) in enumerate(REFUSABLE.items()):
        for queue in scene.queues():
            scene.broker.lpush(queue, message)
        wait_until(
            lambda: all(scene.broker.llen(queue) == 0 for queue in scene.queues()), description=f"{name} is taken"
        )
        scene.wait_for_handled(f"s{number}", [scene.send(f"s{number}", flush=True).id])
        assert not has_exited(scene.worker), name
    for session in "abc":
        scene.wait_for_handled(session, scene.send_some(session, 2))
    scene.send_command("a")
    wait_until(
        lambda: any(run.kind == "command" and run.is_successful for run in scene.runs("a")),
        description="the command is handled",
    )
    assert scene.worker.logs().count("ready.") == 1
    scene.assert_clean()


FATAL = {
    "bytes": b"\x80\x04garbage\xff",
    "a list": b"[]",
}
"""Messages at which Celery 5.7 itself exits: ``Unrecoverable error``."""

RESTORED = envelope(plain([["chat", "0", "m"], {}, {}]), "application/json", task=["no", "name"]).encode()  # type: ignore[arg-type]
"""Such a message that Celery puts back each time, too: it takes every worker down until somebody deletes it."""


@pytest.mark.parametrize("garbage", FATAL.values(), ids=FATAL)
def test_messages_at_which_celery_exits_cost_one_restart(scene: Scene, garbage: bytes) -> None:
    """SEC-5: Celery's doing, the same for every task queue; nothing of ours is lost, the restarted worker goes on."""
    scene.broker.lpush(scene.queues()[0], garbage)
    wait_until(lambda: has_exited(scene.worker), description="Celery has given up")
    assert "Unrecoverable error" in scene.worker.logs()
    ids = {session: scene.send_some(session, 2) for session in "abc"}
    scene.worker.restart()
    for session in "abc":
        scene.wait_for_handled(session, ids[session])
    assert not has_exited(scene.worker)
    scene.assert_clean()


def test_a_message_that_takes_every_worker_down_can_be_deleted_with_all_kicks(scene: Scene) -> None:
    """SEC-5: the remedy for what Celery cannot put aside costs nothing, for kicks are only hints."""
    scene.broker.lpush(scene.queues()[0], RESTORED)
    wait_until(lambda: has_exited(scene.worker), description="Celery has given up")
    ids = {session: scene.send_some(session, 2) for session in "abc"}
    scene.worker.restart()
    wait_until(lambda: has_exited(scene.worker), description="Celery has given up once more")
    assert scene.broker.delete(*scene.queues(), "unacked", "unacked_index") > 0
    scene.worker.restart()
    for session in "abc":
        scene.wait_for_handled(session, ids[session])
    assert not has_exited(scene.worker)
    scene.assert_clean()


def test_garbage_in_a_sessions_list_is_quarantined_and_its_neighbours_are_handled(scene: Scene) -> None:
    """Section 8: a corrupt element is set aside with its raw bytes and does not stop its session."""
    garbage = [b"\x80\x04garbage\xff", b"", b"1 m a 1764000000000 9 - id \xff{not json", b"1 m a nine 9 - id {}"]
    ids = []
    for element in garbage:
        ids += scene.send_some("s", 1)
        assert scene.data.rpush(scene.key("w", "s"), element) > 1
    ids += [*scene.send_some("s", 1), scene.send("s", flush=True).id]
    neighbours = scene.send_some("t", 2)
    scene.wait_for_handled("s", ids)
    scene.wait_for_handled("t", neighbours)
    corrupt = f"{scene.prefix(scene.partition_of('s'))}:corrupt"
    assert sorted(scene.data.lrange(corrupt, 0, -1)) == sorted(garbage)
    assert scene.handled("s") == ids
    scene.assert_clean()


@pytest.mark.parametrize("room", ["s", "w", "b"])
def test_foreign_keys_where_a_session_s_should_be_do_not_stop_its_neighbours(scene: Scene, room: str) -> None:
    """One session is damaged while it waits, one while it runs; the one slot of both goes on with the others."""
    place = scene.partition_of("running")
    neighbours = [name for name in map(str, range(40)) if scene.partition_of(name) == place]
    waiting, *good = neighbours
    scene.send("running", do="wait", until="go", seconds=SOON)
    scene.wait_for_runs("running", 1)
    scene.send(waiting, flush=True)
    for session in ("running", waiting):
        key = scene.key(room, session)
        scene.data.delete(key)
        scene.data.sadd(key, "not ours")
    ids = {session: scene.send_some(session, 2) for session in good}
    scene.mark("go")
    for session in good:
        scene.wait_for_handled(session, ids[session])
    for session in ("running", waiting):
        assert scene.inbox.forget(session)["messages"] <= 1
        scene.wait_for_handled(session, scene.send_some(session, 1))
    assert not has_exited(scene.worker)


def test_garbage_on_the_wake_channels_is_passed_by(scene: Scene) -> None:
    """A dispatcher that took it for a fault would rest, and be late with what is due."""
    for partition in ("0", "1", "command"):
        for said in (b"", b"garbage", b"0 soon", b"\xff 1", b"0 -1", b"0 " + b"9" * 400):
            assert scene.data.publish(f"{scene.prefix(partition)}:wake", said) >= 1
    for session in "abc":
        scene.wait_for_handled(session, scene.send_some(session, 2))
    assert "is away" not in scene.worker.logs()
    scene.assert_clean()
