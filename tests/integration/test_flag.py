"""What ``--inbox``, ``-Q`` and ``CELERY_INBOX`` make a worker consume, and what it says of words it cannot use."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import redis
from celery import Celery
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from celery_inbox import Inbox
from celery_inbox.testing import History
from nodes.worker import QuickWorkerContainer
from waiting import wait_until

from .conftest import Refused, bot
from .follow import Follower


class WithoutQueues(QuickWorkerContainer):
    """A worker whose command line has no ``-Q`` but the test's own."""

    @classmethod
    def command(cls, *args: str, **options: Any) -> list[str]:
        command = super().command(*args, **options)
        place = command.index("-Q")
        return [*command[:place], *command[place + 2 :]]


@pytest.fixture
def default_worker_container_cls() -> type[QuickWorkerContainer]:
    return WithoutQueues


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    return ("--pool", "solo")


@pytest.fixture
def first_worker_args() -> tuple[str, ...]:
    return ()


def consumed(worker: CeleryTestWorker) -> list[dict[str, Any]]:
    """Queues of a running worker, as ``celery inspect active_queues`` gives them."""
    name = worker.hostname()
    replies: list[dict[str, Any]] = []

    def answered() -> bool:
        reply = worker.app.control.inspect([name], timeout=2).active_queues() or {}
        replies[:] = reply.get(name, [])
        return name in reply

    wait_until(answered, description=f"{name} answers", timeout=20)
    return replies


def names(worker: CeleryTestWorker) -> set[str]:
    """Names of the queues that a worker consumes."""
    return {queue["name"] for queue in consumed(worker)}


def queue_names(partitions: range | list[int]) -> set[str]:
    """Names of partitions' queues."""
    return {f"chat.{partition}" for partition in partitions}


class TestWithoutTheFlag:
    """An app with an Inbox, an ordinary worker."""

    def test_a_worker_without_the_flag_is_untouched(self, celery_setup: CeleryTestSetup, inbox: Inbox) -> None:
        """The same queues as Celery alone would consume; no key of the inbox; no line about it."""
        worker = celery_setup.worker
        plain = Celery("plain", broker=celery_setup.app.conf.broker_url, set_as_current=False)
        assert consumed(worker) == [queue_as_told(queue) for queue in plain.amqp.queues.values()]
        with redis.Redis.from_url(celery_setup.app.conf.broker_url) as broker:
            assert list(broker.scan_iter("celery-inbox*")) == []
        assert "inbox" not in worker.logs().partition("[tasks]")[0]

    def test_an_inbox_changes_no_setting_of_its_app(self, celery_setup: CeleryTestSetup) -> None:
        """Queues, routes and default queue of the app are those of an app without an Inbox."""
        broker = celery_setup.app.conf.broker_url
        with_inbox = Celery("with", broker=broker, set_as_current=False)
        without = Celery("without", broker=broker, set_as_current=False)
        inbox = Inbox(with_inbox, "chat")
        inbox.send("somebody", "hello")
        for name in ("task_queues", "task_routes", "task_default_queue", "task_create_missing_queues", "imports"):
            assert with_inbox.conf[name] == without.conf[name]
        assert set(with_inbox.amqp.queues) == set(without.amqp.queues)
        assert inbox.peek("somebody") is not None


class TestNumbers:
    """Partitions named one by one."""

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("--inbox", "0-3,7")

    def test_a_worker_consumes_exactly_the_partitions_it_was_given(
        self, celery_setup: CeleryTestSetup, start_worker: Callable[..., CeleryTestWorker]
    ) -> None:
        """``--inbox`` without ``-Q`` means inbox queues only; with ``-Q`` both; several words add up."""
        assert names(celery_setup.worker) == queue_names([0, 1, 2, 3, 7])
        second = start_worker("--inbox", "chat=30", "--inbox", "31", "-Q", "celery")
        assert names(second) == {"celery", "chat.30", "chat.31"}


class TestCommandWorker:
    """The worker that serves commands."""

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("--inbox", "command")

    def test_a_command_worker_consumes_commands_only(self, celery_setup: CeleryTestSetup) -> None:
        """``--inbox command`` is one queue."""
        assert names(celery_setup.worker) == {"chat.command"}


class TestQueueOption:
    """``-Q`` works as it does for every queue."""

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        return ("-Q", "celery,chat.command")

    def test_a_queue_option_that_names_the_command_queue_serves_commands(
        self, celery_setup: CeleryTestSetup, inbox: Inbox, data: redis.Redis, history: History, follower: Follower
    ) -> None:
        """Nothing else is consumed, and a command is handled."""
        assert names(celery_setup.worker) == {"celery", "chat.command"}
        history.sent("somebody", inbox.send_command("somebody", "help"))
        wait_until(lambda: follower.handled() == 1, description="the command is handled")
        follower.report().assert_clean()


class TestEnvironment:
    """``CELERY_INBOX`` in the place of the option."""

    @pytest.fixture
    def worker_env(self, worker_env: dict[str, str]) -> dict[str, str]:
        return {**worker_env, "CELERY_INBOX": "0-15 chat=command"}

    def test_the_environment_variable_says_what_the_option_says(
        self, celery_setup: CeleryTestSetup, start_worker: Callable[..., CeleryTestWorker]
    ) -> None:
        """Words are separated by spaces; an option on the command line wins."""
        assert names(celery_setup.worker) == {"chat.command", *queue_names(range(16))}
        assert names(start_worker("--inbox", "31")) == {"chat.31"}


def test_words_that_mean_nothing_are_refused_with_one_line_that_says_what_to_do(refused: Refused) -> None:
    """A partition too many, an unknown inbox, a range backwards, a word unheard of."""
    advice = {
        "40": "40 is not within the partitions 0-31",
        "chta=all": "this app has no inbox 'chta'; it has: chat",
        "3-1": "3-1 is not within the partitions 0-31",
        "everything": "say auto, all, command, numbers such as 0-3,7",
    }
    for word, expected in advice.items():
        code, log = refused("--inbox", word)
        assert code != 0, word
        [line] = [line for line in log.splitlines() if line.startswith("celery-inbox:")]
        assert line.startswith(f"celery-inbox: --inbox {word}: ")
        assert expected in line
        assert "Traceback" not in log


class TestNoInbox:
    """The worker's app has none."""

    @pytest.fixture
    def default_worker_app_module(self) -> ModuleType:
        return bot("ordinary")

    def test_the_option_without_an_inbox_in_the_app_is_refused(self, refused: Refused) -> None:
        """The line says where to look."""
        code, log = refused("--inbox", "all")
        assert code != 0
        assert "celery-inbox: --inbox was given, but this app has no Inbox" in log
        assert "Traceback" not in log


def queue_as_told(queue: Any) -> dict[str, Any]:
    """What ``inspect active_queues`` says of a queue: everything but what is None or a list of it."""
    return dict(queue.as_dict(recurse=True))
