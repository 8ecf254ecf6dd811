"""A bot as a user would write it who has a type checker: every line must pass, in strict mode."""

from collections.abc import Sequence
from typing import Any, assert_type

from celery import Celery

from celery_inbox import (
    CHAT,
    Batch,
    Command,
    ConfigurationError,
    DeadLetter,
    Inbox,
    InboxError,
    InboxFull,
    InvalidMessage,
    InvalidSession,
    LeaseLost,
    Message,
    MessageTooLarge,
    Receipt,
    SessionInfo,
    SessionView,
    Settings,
    Stats,
    StorageFull,
    StorageUnavailable,
)

app = Celery("bot", broker="redis://localhost:6379/0")
inbox = Inbox(app, "chat", debounce=1.0, max_wait=10.0, is_command=",")
group = Inbox(app, "group", **CHAT)


def sender_of(body: dict[str, str]) -> str:
    """A callable on the body."""
    return body["from"]


shared = Inbox("shared", batch_key=sender_of, flush_when=str.isupper)


def texts(messages: Sequence[Message]) -> list[str]:
    """A batch is a sequence of messages."""
    return [str(message.body) for message in messages]


@inbox.handler(max_attempts=5, backoff=0.5, on_exhausted="isolate", soft_time_limit=120)
def reply(batch: Batch) -> None:
    assert_type(batch.session, str)
    assert_type(batch.id, str)
    assert_type(batch.attempt, int)
    assert_type(batch.fence, int)
    assert_type(batch.lost, bool)
    assert_type(batch.cancelled, bool)
    assert_type(batch[0], Message)
    assert_type(batch[1:], Sequence[Message])
    assert_type(len(batch), int)
    for message in batch:
        assert_type(message.id, str)
        assert_type(message.at, int)
        assert_type(message.active, bool)
    assert_type(batch.take_new(), tuple[Message, ...])
    batch.renew()
    try:
        batch.raise_if_lost()
    except LeaseLost:
        return
    texts(batch)


@group.handler
async def answer(batch: Batch) -> None:
    assert_type(await batch.atake_new(), tuple[Message, ...])


@shared.handler(bind=True, autoretry_for=(OSError,))
def bound(self: Any, batch: Batch) -> None:
    raise self.retry(countdown=30.0)


@inbox.command_handler
def command(command: Command) -> None:
    assert_type(command.session, str)
    assert_type(command.id, str)
    assert_type(command.at, int)
    inbox.cancel(command.session)


@group.command_handler(max_attempts=1)
async def group_command(command: Command) -> None:
    await group.asend(command.session, command.body, id=command.id, headers={"from": "a command"})


# A decorated handler is still the function: called with a batch it is a unit test.
reply(Batch("ada", [Message("1", "hi", at=0), Message("2", "there?", at=5)]))


def send(session: str) -> str | None:
    receipt = inbox.send(session, {"text": "hi"}, id="1", headers={"lang": "en"}, active=False, flush=True)
    assert_type(receipt, Receipt)
    assert_type(receipt.id, str)
    assert_type(receipt.waiting, int)
    assert_type(receipt.due_at, int | None)
    assert_type(receipt.dropped, tuple[str, ...])
    if receipt.status == "ignored":
        return None
    assert_type(inbox.send_command(session, "stop"), Receipt)
    assert_type(inbox.send_many([(session, "one"), (session, "two", "id")]), list[Receipt])
    return receipt.id


def send_safely(session: str, body: object) -> str | None:
    try:
        return inbox.send(session, body).id
    except InboxFull as error:
        assert_type(error.waiting, int)
    except MessageTooLarge as error:
        assert_type(error.limit, int)
    except (InvalidSession, InvalidMessage, ConfigurationError):
        return None
    except StorageFull:
        return None
    except StorageUnavailable as error:
        return error.id
    except InboxError:
        raise
    return None


def look_after(session: str) -> None:
    assert_type(inbox.touch(session), int | None)
    assert_type(inbox.flush(session), int)
    assert_type(inbox.cancel(session), bool)
    assert_type(inbox.drop(session), list[Message])
    inbox.pause(session, for_=60.0)
    assert_type(inbox.resume(session), bool)
    assert_type(inbox.remove(session, "1"), bool)
    assert_type(inbox.replace(session, "1", "hello"), bool)
    assert_type(inbox.peek(session), SessionView | None)
    assert_type(inbox.forget(session), dict[str, int])
    assert_type(list(inbox.sessions()), list[SessionInfo])
    assert_type(inbox.stats(), Stats)
    assert_type(inbox.settings, Settings)
    for letter in inbox.dead_letters(session=session):
        assert_type(letter, DeadLetter)
        assert_type(inbox.redrive(letter), int)
