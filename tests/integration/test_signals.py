"""OBS-1: one signal per move, with what is documented and nothing else."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from celery.utils.dispatch import Signal
from pytest_celery import CeleryTestSetup, RedisTestBackend

from celery_inbox import Inbox
from celery_inbox.observe import signals
from celery_inbox.store.keys import partition_prefix
from waiting import wait_until

from .conftest import bot
from .follow import Follower, notes

RECOVERY = 20.0  # seconds
SIGNALS = {name: signal for name, signal in vars(signals).items() if isinstance(signal, Signal)}
NEVER_SENT = {"released", "unverified"}
"""A worker gives no batch back by itself so far; only a server that hides its settings is unverified."""
MOVES_OF_PEOPLE = (
    "touched",
    "paused",
    "replaced",
    "removed",
    "flushed",
    "dropped",
    "resumed",
    "cancelled",
    "forgotten",
)

pytestmark = [
    pytest.mark.settings(partitions=2, debounce=0.05, max_dead=1),
    pytest.mark.handlers(
        chat={"max_attempts": 2, "backoff": 0.05},
        hold={"max_attempts": 1, "on_exhausted": "hold"},
        cancelled={},
        limited={"max_attempts": 1, "time_limit": 1},
    ),
]


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "prefork", "--concurrency", "3")


@pytest.fixture
def first_worker_args() -> tuple[str, ...]:
    return ("--inbox", "all,command")


@pytest.fixture
def default_worker_app(default_worker_app: Any, celery_redis_backend: RedisTestBackend) -> Any:
    """Sessions apart from the broker, which can then be away."""
    default_worker_app.conf.inbox_redis_url = celery_redis_backend.config()["host_url"]
    return default_worker_app


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    """What this process hears, as the bot notes it."""
    heard: list[dict[str, Any]] = []
    receivers = []
    for name, signal in SIGNALS.items():

        def receive(sender: Any = None, name: str = name, **payload: Any) -> None:
            payload.pop("signal")
            heard.append({"signal": name, "sender": str(sender), "payload": sorted(payload)})

        signal.connect(receive, weak=False)
        receivers.append((signal, receive))
    yield heard
    for signal, receive in receivers:
        signal.disconnect(receive)


def documented() -> dict[str, set[str]]:
    """The words in backticks of each signal's documentation, by signal."""
    source = inspect.getsource(signals)
    docs = re.findall(r'^(\w+) = Signal\(.+?\)\n"""(.+?)"""', source, re.MULTILINE | re.DOTALL)
    return {name: set(re.findall(r"``(\w+)``", text)) for name, text in docs}


def test_every_signal_documents_what_it_carries() -> None:
    """``providing_args`` as declared stand in the text; the bot's notes are compared with these."""
    assert set(documented()) == set(SIGNALS)
    for name, carried in declared().items():
        assert carried <= documented()[name], name


def declared() -> dict[str, set[str]]:
    """What each signal is declared to carry."""
    return {name: set(signal.providing_args) for name, signal in SIGNALS.items()}


def test_each_move_sends_its_signal_with_the_documented_payload_once(
    celery_setup: CeleryTestSetup,
    data: redis.Redis,
    inbox: Inbox,
    follower: Follower,
    heard: list[dict[str, Any]],
    notes_path: Path,
    marks: Path,
) -> None:
    """Every signal but two is heard, in the sender's process or in the worker's, with exactly its payload."""
    hold, cancelled, limited = (Inbox(celery_setup.app, name) for name in ("hold", "cancelled", "limited"))

    # Moves of people, on messages that wait or do not.
    inbox.pause("people")
    inbox.send("people", "hello", id="1")
    inbox.send("people", "hello", id="2")
    inbox.replace("people", "1", "hallo")
    inbox.remove("people", "2")
    inbox.touch("people")
    inbox.flush("people")
    inbox.drop("people")
    inbox.resume("people")
    inbox.cancel("people")
    inbox.forget("people")
    wait_until(lambda: inbox.peek("people") is None, description="nothing is left of it")
    only_here = {
        "sent": 2,
        **dict.fromkeys(MOVES_OF_PEOPLE, 1),
    }
    assert counted(heard) == only_here

    # A batch that fails once; two that die, of which the older one goes; a redriven one that is lost.
    inbox.send("retried", {"fail": ["ValueError", 1]})
    inbox.send("dies", {"fail": ["Reject", 1]})
    wait_until(lambda: len(said(notes_path, "dead")) == 1, description="it is dead")
    inbox.send("dies too", {"fail": ["Reject", 1]})
    wait_until(lambda: len(said(notes_path, "dead")) == 2, description="it is dead")
    wait_until(lambda: inbox.stats().handled == 1, description="the retried one is handled")
    wait_until(lambda: len(said(notes_path, "dead_evicted")) == 1, description="the older dead letter is gone")
    [letter] = inbox.dead_letters()
    inbox.redrive(letter)
    wait_until(lambda: len(said(notes_path, "dead")) == 3, description="it is dead again")
    [letter] = inbox.dead_letters()
    inbox.purge(letter)

    # Batches that are held, cancelled, lost, killed.
    hold.send("held", {"fail": ["ValueError", 1]})
    cancelled.send("cancelled", {"until_cancelled": ["raise", "never"]})
    limited.send("killed", {"sleep": 60})
    wait_until(lambda: len(said(notes_path, "claimed")) == 8, description="all run")
    cancelled.cancel("cancelled")
    wait_until(lambda: len(said(notes_path, "cancelled")) == 1, description="the handler was told, and settled")
    wait_until(lambda: len(said(notes_path, "exhausted")) == 1, description="one is held")
    hold.drop("held")
    wait_until(
        lambda: len(said(notes_path, "reclaimed")) == 1, description="the killed one is reclaimed", timeout=RECOVERY
    )
    wait_until(lambda: limited.stats().dead_letters == 1, description="it is dead")
    limited.forget("killed")
    cancelled.send("lost", {"until_lost": True})
    wait_until(lambda: follower.started("lost") == 1, description="it runs")
    cancelled.forget("lost")
    wait_until(lambda: len(said(notes_path, "lost")) == 1, description="the handler was told")

    # A run that outlives a third of its lease and takes what came.
    (marks / "go").touch()
    cancelled.send("long", {"sleep": 1.5, "take": "go"})
    wait_until(lambda: len(said(notes_path, "took_new")) == 1, description="it has looked for more")
    wait_until(lambda: said(notes_path, "renewed"), description="its lease was extended")

    # An element that nobody can read, and a broker that is away.
    inbox.pause("corrupt")
    inbox.send("corrupt", "hello", id="1")
    place = inbox._address("corrupt")
    prefix = partition_prefix(inbox.settings.namespace, "chat", place.partition)
    key = f"{prefix}:w:{place.digest}"
    [element] = data.lrange(key, 0, -1)
    data.lset(key, 0, str(element).replace('"hello"', '"hel}o'))
    view = inbox.peek("corrupt")
    assert view is not None
    assert view.messages == ()
    inbox.resume("corrupt")
    wait_until(lambda: len(said(notes_path, "quarantined")) == 1, description="it is quarantined")
    data.delete(f"{prefix}:corrupt")
    predicate = Inbox(celery_setup.app, "predicate", flush_when=lambda body: body["no such key"])
    predicate.send("s", "hello")
    predicate.drop("s")
    celery_setup.broker.kill()
    inbox.send("away", "hello")
    wait_until(lambda: said(notes_path, "dispatch_failed"), description="the dispatcher said so", timeout=RECOVERY)
    celery_setup.broker.restart()
    wait_until(lambda: inbox.peek("away") is None, description="it is handled", timeout=2 * RECOVERY)

    everywhere = everything(heard, notes_path)
    assert set(SIGNALS) - {line["signal"] for line in everywhere} == NEVER_SENT
    for line in everywhere:
        assert set(line["payload"]) == declared()[line["signal"]], line
        assert line["sender"].startswith("inbox "), line


def everything(heard: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """What this process and the worker heard."""
    return heard + [line for line in notes(path) if line.get("signal") in SIGNALS]


def said(path: Path, signal: str) -> list[dict[str, Any]]:
    """The worker's notes of a signal."""
    return [line for line in notes(path) if line.get("signal") == signal]


def counted(heard: list[dict[str, Any]]) -> dict[str, int]:
    """How often each signal was heard."""
    return {name: [line["signal"] for line in heard].count(name) for name in {line["signal"] for line in heard}}
