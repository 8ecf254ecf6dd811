"""What befalls kicks that lie in a Redis broker: deleted, doubled, reordered, given to a task that nobody knows."""

import base64
import json
import random
import uuid
from collections.abc import Callable

from redis import Redis, WatchError

STRANGE_TASK = "no.such.task"


def changed(broker: Redis, queue: str, change: Callable[[list[bytes]], list[bytes]]) -> int:
    """Rewrite a queue in one transaction; how many kicks it had."""

    with broker.pipeline() as pipeline:
        while True:
            try:
                pipeline.watch(queue)
                kicks: list[bytes] = pipeline.lrange(queue, 0, -1)  # type: ignore[assignment,unused-ignore]
                after = change(kicks)
                pipeline.multi()
                pipeline.delete(queue)
                if after:
                    pipeline.rpush(queue, *after)
                pipeline.execute()
            except WatchError:
                continue
            return len(kicks)


def delete(broker: Redis, queue: str) -> int:
    """Delete the kicks that wait in a queue; how many."""
    return changed(broker, queue, lambda _: [])


def double(broker: Redis, queue: str) -> int:
    """Put a copy beside each kick of a queue; how many."""
    return changed(broker, queue, lambda kicks: [kick for kick in kicks for _ in range(2)])


def reorder(broker: Redis, queue: str, dice: random.Random) -> int:
    """Shuffle the kicks of a queue; how many there are."""
    return changed(broker, queue, lambda kicks: dice.sample(kicks, len(kicks)))


def misaddress(broker: Redis, queue: str) -> int:
    """Have every kick of a queue call for a task that no worker knows; how many."""
    return changed(broker, queue, lambda kicks: [for_a_stranger(kick) for kick in kicks])


def for_a_stranger(kick: bytes) -> bytes:
    """Write another task's name on a kick."""
    message = json.loads(kick)
    message["headers"]["task"] = STRANGE_TASK
    return json.dumps(message).encode()


def stray(queue: str, task: str = STRANGE_TASK) -> bytes:
    """A message as kombu's Redis transport stores it, which no dispatcher has published."""
    name = uuid.uuid4().hex
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps([["chat", "0", "m"], {}, {}]).encode()).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": task, "id": name, "lang": "py", "argsrepr": "", "kwargsrepr": ""},
            "properties": {
                "correlation_id": name,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "delivery_tag": name,
                "body_encoding": "base64",
            },
        }
    ).encode()
