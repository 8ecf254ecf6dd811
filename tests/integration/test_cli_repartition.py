"""``celery -A proj inbox repartition``: its question, its refusals, its exit codes, and what others say meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from celery_inbox import Inbox
from celery_inbox.store.moves import Plan
from celery_inbox.store.repartition import Repartition

from .test_cli import failed, inbox_of, run, told


@pytest.fixture
def inbox(redis_url: str) -> Iterator[Inbox]:
    """An inbox of 4 partitions on the shared server; its keys go with the test."""
    inbox = inbox_of(redis_url, lease=1.0, dispatch_interval=0.5)
    yield inbox
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{inbox.settings.namespace}:*"):
            client.delete(key)


def again(inbox: Inbox, partitions: int) -> Inbox:
    """The inbox as the next deployment has it."""
    other = inbox_of(inbox.app.conf.broker_url, namespace=inbox.settings.namespace, partitions=partitions)
    other.name = inbox.name
    return other


def test_it_asks_then_moves_then_says_what_to_do(inbox: Inbox) -> None:
    """No means no; yes moves; a second time there is nothing to do."""
    for number in range(20):
        inbox.send(f"s{number}", number)
    said_no = run(inbox, "repartition", "4", "6", answer="n\n")
    assert said_no.exit_code == 1
    assert inbox.peek("s1") is not None
    done = run(inbox, "repartition", "4", "6", answer="y\n")
    assert done.exit_code == 0
    assert "has 6 partitions; sessions moved: " in done.stdout
    assert "now set inbox_partitions=6 in every process" in done.stdout
    assert told(inbox, "repartition", "4", "6", "--yes", code=1) == {"partitions": 6, "sessions": 0, "letters": 0}
    other = again(inbox, 6)
    assert {info.session for info in other.sessions()} == {f"s{number}" for number in range(20)}
    assert all(other.peek(f"s{number}") is not None for number in range(20))
    assert "partitions=6, " in next(each["found"] for each in report(other)["ok"] if each["subject"] == "agreement")


def report(inbox: Inbox) -> Any:
    return told(inbox, "check", code=1)  # no worker runs here


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("5", "6"), "recorded 4 partitions, not 5"),
        (("4", "0"), "0 is not in the range 1<=x<=4096"),
        (("4", "4097"), "4097 is not in the range 1<=x<=4096"),
    ],
)
def test_numbers_that_cannot_be_are_refused(inbox: Inbox, words: tuple[str, ...], said: str) -> None:
    """Nothing begins."""
    inbox.send("ada", "hi")
    assert said in failed(inbox, "repartition", *words, "--yes", code=2)
    assert inbox.send("ada", "hi").status == "accepted"


def test_a_lease_that_is_live_is_waited_for_and_one_that_ended_is_reclaimed(inbox: Inbox) -> None:
    """A worker was killed; nobody else reclaims while none runs."""
    inbox.send("ada", "hi", flush=True)
    claim = inbox.store.claim(inbox._address("ada").partition, "token", Plan())
    assert claim is not None
    line = failed(inbox, "repartition", "4", "6", "--yes", code=2)
    assert f"nothing was moved: batches run: 1, in partitions {claim.address.partition};" in line
    inbox.redis_store.client.zadd(
        f"{inbox.redis_store.prefix(claim.address.partition)}:leased", {claim.address.digest: 1}
    )
    assert run(inbox, "repartition", "4", "6", "--yes").exit_code == 0
    view = again(inbox, 6).peek("ada")
    assert view is not None
    assert (view.batch_id, view.attempt) == (claim.batch_id, 1)


def test_meanwhile_the_other_commands_say_so(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """``check`` finds an error with the command that ends it; others end with 3, as if Redis were away."""
    inbox.send("ada", "hi")
    monkeypatch.setattr(Repartition, "_carry", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Repartition(inbox.open_store(), 4, 6).run(print)
    finding = next(each for each in report(inbox)["errors"] if each["subject"] == "agreement")
    assert "from 4 to 6 partitions is under way, or was interrupted" in finding["found"]
    assert "repartition 4 6" in finding["remedy"]
    for words in (("peek", "ada"), ("stats",), ("send", "ada", "hi"), ("health",)):
        line = failed(inbox, *words, code=3)
        assert "sessions are being moved to another number of partitions" in line
        assert "right server" not in line
    assert "repartition 4 6" in failed(inbox, "repartition", "4", "8", "--yes", code=2)
    monkeypatch.undo()
    assert run(inbox, "repartition", "4", "6", "--yes").exit_code == 0
    assert "repartition 6 4" in failed(inbox, "peek", "ada", code=2)
    assert again(inbox, 6).peek("ada") is not None


def interrupt(*given: Any) -> None:
    raise KeyboardInterrupt
