"""Mistakes that a type checker must find: each line that is one says so, and no other line is."""

from celery import Celery

from celery_inbox import Batch, Inbox, Message

app = Celery("bot", broker="redis://localhost:6379/0")
inbox = Inbox(app, "chat")


@inbox.handler
def reply(batch: Batch) -> None:
    batch.append(Message("1", "hi", at=0))  # wrong: a batch is not a list
    batch[0].id = "2"  # wrong: messages are frozen
    print(batch.session.missing)  # wrong: a session is a name


reply.delay("ada")  # wrong: an inbox starts its handler by itself
reply("ada")  # wrong: a handler takes a batch
inbox.send("ada")  # wrong: a message has a body
inbox.send("ada", "hi", dedup="1")  # wrong: no such keyword
inbox.send(42, "hi")  # wrong: a session is text
print(inbox.send("ada", "hi").state)  # wrong: it is called status
inbox.pause("ada", 60)
inbox.pause("ada", seconds=60)  # wrong: it is called for_
inbox.dead_letters("ada")  # wrong: the session is a keyword
inbox.redrive("1-1764000000000")  # wrong: a dead letter, not its id
