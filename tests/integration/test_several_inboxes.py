"""SET-2: several inboxes in one app and one Redis, each with settings of its own."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import redis
from celery import Celery
from pytest_celery import CeleryTestSetup

from celery_inbox import ConfigurationError, Inbox
from celery_inbox.testing import History
from waiting import wait_until

from .conftest import bot
from .follow import Follower

LATE = 1000  # ms that a start may be late on a machine that may be busy

pytestmark = [
    pytest.mark.settings(
        partitions=2, debounce=0.2, max_wait=2.0, settings={"prod2": {"max_batch": 2, "partitions": 3}}
    ),
    pytest.mark.handlers(prod={}, prod2={}, slow={}),
]


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "threads", "--concurrency", "6")


@pytest.fixture
def inboxes(celery_setup: CeleryTestSetup) -> dict[str, Inbox]:
    """One by the app's settings alone, one by settings of its own, one by keywords, which win."""
    app = celery_setup.app
    slow = Inbox(app, "slow", debounce=lambda session: 1.2 if session.startswith("slow") else 0.1)
    return {"prod": Inbox(app, "prod"), "prod2": Inbox(app, "prod2"), "slow": slow}


@pytest.fixture
def inbox(inboxes: dict[str, Inbox]) -> Inbox:
    return inboxes["prod"]


@pytest.fixture
def send_to(inboxes: dict[str, Inbox], data: redis.Redis, history: History) -> Callable[..., Any]:
    """Send to one of the inboxes; the history knows its session by both names."""

    def send_to(name: str, session: str, body: Any, id: str) -> Any:
        receipt = inboxes[name].send(session, body, id=id)
        history.sent(session, receipt)
        return receipt

    return send_to


def test_each_inbox_has_the_settings_that_are_nearest_to_it(inboxes: dict[str, Inbox]) -> None:
    """A keyword before the inbox's own in app.conf, that before the one for all, that before the default."""
    settings = {name: inbox.settings for name, inbox in inboxes.items()}
    assert [each.debounce for name, each in settings.items() if name != "slow"] == [0.2, 0.2]
    assert [each.max_batch for each in settings.values()] == [100, 2, 100]
    assert [each.partitions for each in settings.values()] == [2, 3, 2]
    assert [each.max_wait for each in settings.values()] == [2.0] * 3


def test_inboxes_of_one_redis_never_meet_though_one_name_begins_like_the_other(
    inboxes: dict[str, Inbox], send_to: Callable[..., Any], follower: Follower
) -> None:
    """The same ids in sessions of the same name: each in its own inbox, cut by its own settings."""
    prod, prod2 = inboxes["prod"], inboxes["prod2"]
    prod.pause("same")
    for n in range(3):
        assert prod.send("same", "in prod", id=str(n)).status == "accepted"
        assert send_to("prod2", "same", "in prod2", str(n)).status == "accepted"
    wait_until(lambda: follower.handled() == 3, description="the one that is not paused is handled")
    assert [run.ids for run in follower.runs("same")] == [("0", "1"), ("2",)]
    follower.report().assert_clean()
    wait_until(lambda: prod2.peek("same") is None, description="its acks are in")
    view = prod.peek("same")
    assert view is not None
    assert (view.stopped, [message.body for message in view.messages]) == (True, ["in prod"] * 3)
    assert [info.session for info in prod2.sessions()] == []
    assert prod2.forget("same") == {"messages": 0, "dead": 0}
    assert (prod.stats().pending, prod2.stats().handled, prod2.stats().accepted) == (3, 3, 3)
    assert prod2.resume("same") is False
    assert prod.forget("same") == {"messages": 3, "dead": 0}


def test_a_callable_says_the_debounce_of_each_session(send_to: Callable[..., Any], follower: Follower) -> None:
    """Two sessions of one inbox: one is due after a tenth of a second, the other after more than a second."""
    for session in ("slow one", "quick one"):
        send_to("slow", session, "hello", "1")
    wait_until(lambda: follower.handled() == 2, description="both are handled")
    follower.report().assert_clean()
    waits = {run.session: run.start.at - run.messages[0].at for run in follower.runs()}
    assert 100 <= waits["quick one"] < 1200
    assert 1200 <= waits["slow one"] < 1200 + LATE


def test_what_disagrees_is_refused_before_anything_is_stored(celery_setup: CeleryTestSetup, data: redis.Redis) -> None:
    """A second inbox of a name, other partitions than recorded, a callable that says what is no debounce."""
    with pytest.raises(ConfigurationError, match="has an inbox 'prod' already"):
        Inbox(celery_setup.app, "prod")
    other = Celery("another process", broker=celery_setup.app.conf.broker_url, set_as_current=False)
    wrong = Inbox(other, "prod2", partitions=5)
    with pytest.raises(ConfigurationError, match="partitions=5, Redis has recorded 3"):
        wrong.send("s", "hello")
    for move in (wrong.flush, wrong.cancel, wrong.drop, wrong.pause, wrong.resume, wrong.forget, wrong.touch):
        with pytest.raises(ConfigurationError, match="partitions=5, Redis has recorded 3"):
            move("s")
    with pytest.raises(ConfigurationError, match=r"debounce=11 is greater than max_wait=10"):
        Inbox(other, "slow", partitions=2, debounce=lambda _: 11.0).send("s", "hello")
    keys = [key for key in data.scan_iter("celery-inbox:*") if ":w:" in key or ":s:" in key]
    assert keys == []
