"""Which messages are kicks: Celery's own of both protocols, and nothing else."""

from typing import Any

import pytest
from celery import Celery
from celery.exceptions import InvalidTaskError
from kombu.exceptions import ContentDisallowed

from celery_inbox import Inbox
from celery_inbox.worker.kick import kicks_only

app = Celery("kicks", broker="memory://", set_as_current=False)
inbox = Inbox(app, "chat")


@inbox.handler(name="chat.reply")
def reply(batch: Any) -> None:
    raise AssertionError("nothing is handled here")


task: Any = reply


class Message:
    """A message from the broker; its payload may be an error that reading it raises."""

    def __init__(self, headers: Any, payload: Any) -> None:
        self.headers = headers
        self._payload = payload

    @property
    def payload(self) -> Any:
        if isinstance(self._payload, Exception):
            raise self._payload
        return self._payload


def published(protocol: int, **options: Any) -> tuple[Message, Any]:
    """A kick as Celery makes it: the message, and the body that its consumer hands on."""
    make = {1: app.amqp.as_task_v1, 2: app.amqp.as_task_v2}[protocol]
    headers, _, body, _ = make("id", task.name, ("chat", "31", "m"), {}, **options)
    return Message(headers, body), body if protocol == 1 else None


def take(message: Message, body: Any) -> Any:
    """What a consumer does with a message."""
    return kicks_only(task, lambda *taken: taken)(message, body, "ack")


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("options", [{}, {"time_limit": 5, "soft_time_limit": 2.5}, {"expires": 60}], ids=str)
def test_a_kick_that_celery_published_is_taken(protocol: int, options: dict[str, Any]) -> None:
    """With ``task_protocol`` at 1 or 2, and with what Celery adds by options and annotations."""
    message, body = published(protocol, **options)
    assert take(message, body) == (message, body, "ack")


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ({}, ["chat", "0", "m"]),
        ({"id": 5}, [["chat", "0", "m"], {}, {}]),
        (None, [["chat", "0", "m"], {}, {}]),
        ({"id": "x", "timelimit": 5}, [["chat", "0", "m"], {}, {}]),
        ({"id": "x", "timelimit": ["1", None]}, [["chat", "0", "m"], {}, {}]),
        ({"id": "x"}, [["mail", "0", "m"], {}, {}]),
        ({"id": "x"}, [["chat", "0", "c"], {}, {}]),
        ({"id": "x"}, [["chat", 0, "m"], {}, {}]),
        ({"id": "x"}, [["chat", "0}:evil", "m"], {}, {}]),
        ({"id": "x"}, [["chat", "0\n", "m"], {}, {}]),
        ({"id": "x"}, [["chat", "0", "m"], None, {}]),
        ({"id": "x"}, [["chat", "0", "m"], {}, None]),
        ({"id": "x"}, "abc"),
        ({"id": "x"}, None),
        ({"id": "x"}, ValueError("no JSON")),
    ],
    ids=str,
)
def test_what_is_no_kick_is_refused_by_the_name_that_celery_puts_aside(headers: Any, payload: Any) -> None:
    """The consumer logs and rejects it; any other exception would end the consumer."""
    with pytest.raises(InvalidTaskError, match="no kick of inbox chat"):
        take(Message(headers, payload), None)


def test_content_that_is_not_accepted_is_celery_s_to_refuse() -> None:
    """By its own error, which the consumer puts aside too."""
    with pytest.raises(ContentDisallowed):
        take(Message({"id": "x"}, ContentDisallowed()), None)
