"""CMD-3: commands that keep their place in line."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from celery_inbox import Inbox
from celery_inbox.testing import History, Run, check
from waiting import wait_until

from .conftest import Refused, Send, bot
from .follow import Follower

LEASE = 2.0  # seconds
RECOVERY = 20.0  # seconds; a lease and a dispatcher's sleep, on a machine that may be busy
BACKOFF = 0.4  # seconds

pytestmark = [
    pytest.mark.settings(partitions=4, is_command=",", command_order="in_line"),
    pytest.mark.handlers(chat={"backoff": BACKOFF, "command": {"backoff": BACKOFF, "max_attempts": 2}}),
]


@pytest.fixture
def default_worker_app_module() -> ModuleType:
    return bot("steered")


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    """More slots than the sessions of a test, so that nothing but the inbox keeps runs apart."""
    return ("--pool", "threads", "--concurrency", "8")


def assert_in_line(follower: Follower, *, allow: set[Any] = frozenset()) -> None:  # type: ignore[assignment]
    """Judge messages and commands together."""
    check(follower.events(), command_order="in_line").assert_clean(allow=allow)


def shape(runs: list[Run]) -> list[tuple[str, tuple[str, ...], int]]:
    """Kind, ids and attempt of every run, in order."""
    return [(run.kind, run.ids, run.start.attempt) for run in runs]


@pytest.fixture
def send_all(send: Send) -> Callable[[str, dict[str, Any]], None]:
    """Send messages by id."""

    def send_all(session: str, messages: dict[str, Any]) -> None:
        for id, body in messages.items():
            send(session, body, id=id)

    return send_all


def command(**deeds: Any) -> dict[str, Any]:
    """A body that the prefix makes a command."""
    return {"text": ",help", **deeds}


class TestOneWorker:
    """With eight slots."""

    def test_what_comes_before_and_after_a_command_is_handled_before_and_after_it(
        self, send_all: Callable[..., None], follower: Follower
    ) -> None:
        """`a`, `,help`, `b` in one burst, while attempts of the batch or of the command fail: never another order."""
        told: dict[str, dict[str, Any]] = {
            "all is well": {"a": "a", "c": ",help", "b": "b"},
            "a batch fails": {"a": {"fail": ["ValueError", 2]}, "c": ",help", "b": "b"},
            "a command fails": {"a": "a", "c": command(fail=["ValueError", 1]), "b": "b"},
            "several": {"1": "1", "2": "2", "3": ",x", "4": ",y", "5": "5", "6": command(sleep=0.1), "7": "7"},
            "a command first": {"c": ",help", "a": "a"},
        }
        for session, messages in told.items():
            send_all(session, messages)
        wait_until(
            lambda: follower.handled() == sum(map(len, told.values())), description="all is handled", timeout=RECOVERY
        )

        assert_in_line(follower)
        a, c, b = ("batch", ("a",), 1), ("command", ("c",), 1), ("batch", ("b",), 1)
        assert shape(follower.runs("all is well")) == [a, c, b]
        assert shape(follower.runs("a batch fails")) == [a, ("batch", ("a",), 2), ("batch", ("a",), 3), c, b]
        assert shape(follower.runs("a command fails")) == [a, c, ("command", ("c",), 2), b]
        assert shape(follower.runs("several")) == [
            ("batch", ("1", "2"), 1),
            ("command", ("3",), 1),
            ("command", ("4",), 1),
            ("batch", ("5",), 1),
            ("command", ("6",), 1),
            ("batch", ("7",), 1),
        ]
        assert shape(follower.runs("a command first")) == [c, a]

    def test_a_command_that_came_before_what_it_waits_for_lets_nothing_pass(
        self, send_all: Callable[..., None], follower: Follower, marks: Path
    ) -> None:
        """While `[a]` runs the command waits, while the command runs `[b]` waits: each for as long as it takes."""
        send_all("slow", {"a": {"until": "a may end"}, "c": command(until="c may end"), "b": "b"})
        send_all("other", {"a": "a", "c": ",help", "b": "b"})
        wait_until(lambda: follower.handled() == 3, description="the other session goes on", timeout=RECOVERY)
        assert shape(follower.runs("slow")) == [("batch", ("a",), 1)]
        (marks / "a may end").touch()
        wait_until(lambda: follower.started("slow") == 2, description="the command runs")
        send_all("other", {"d": ",help", "e": "e"})
        wait_until(lambda: follower.handled() == 6, description="the other session goes on again", timeout=RECOVERY)
        assert shape(follower.runs("slow")) == [("batch", ("a",), 1), ("command", ("c",), 1)]
        (marks / "c may end").touch()
        wait_until(lambda: follower.handled() == 8, description="all is handled", timeout=RECOVERY)
        assert_in_line(follower)

    def test_a_command_that_fails_for_good_is_a_dead_letter_and_what_came_after_it_goes_on(
        self, send_all: Callable[..., None], inbox: Inbox, follower: Follower
    ) -> None:
        """The command handler's own two attempts, not the batch handler's five; redriven it goes to the end."""
        send_all("s", {"a": "a", "c": command(fail=["ValueError", 2]), "b": "b"})
        wait_until(lambda: follower.handled() == 2, description="both texts are handled", timeout=RECOVERY)
        runs = follower.runs("s")
        assert shape(runs) == [
            ("batch", ("a",), 1),
            ("command", ("c",), 1),
            ("command", ("c",), 2),
            ("batch", ("b",), 1),
        ]
        [letter] = inbox.dead_letters()
        assert (letter.is_command, letter.attempts, letter.session) == (True, 2, "s")
        assert letter.reason == "ValueError: asked to fail"
        assert [message.id for message in letter.messages] == ["c"]
        check(follower.events(), command_order="in_line", dead=[("s", "c")]).assert_clean()

        assert inbox.redrive(letter) == 1
        wait_until(lambda: follower.started("s") == 5, description="the command is tried again")
        assert follower.runs("s")[-1].kind == "command"
        wait_until(lambda: follower.finished("s") == 6, description="and again", timeout=RECOVERY)
        wait_until(lambda: len(inbox.dead_letters()) == 1, description="it is dead again")
        assert inbox.forget("s")["dead"] == 1


class TestKilledWorkers:
    """A worker is killed while its handler runs; another one goes on."""

    @pytest.fixture
    def worker_args(self) -> tuple[str, ...]:
        return ("--pool", "prefork", "--concurrency", "2")

    def test_a_command_whose_worker_is_killed_is_run_again_before_what_came_after_it(
        self,
        celery_setup: CeleryTestSetup,
        send_all: Callable[..., None],
        follower: Follower,
        marks: Path,
        start_worker: Callable[..., CeleryTestWorker],
    ) -> None:
        """SIGKILL while the command runs in one session and `[a]` in another: order and batch ids stay."""
        send_all("killed in a command", {"a": "a", "c": command(until="go on"), "b": "b"})
        send_all("killed in a batch", {"a": {"until": "go on"}, "c": ",help", "b": "b"})
        wait_until(lambda: follower.started() == 3, description="one runs the command, one the batch")
        celery_setup.worker.kill()
        (marks / "go on").touch()
        start_worker("--inbox", "all")
        wait_until(lambda: follower.handled() == 6, description="all is handled", timeout=RECOVERY)

        assert_in_line(follower)
        a, c, b = ("batch", ("a",), 1), ("command", ("c",), 1), ("batch", ("b",), 1)
        assert shape(follower.runs("killed in a command")) == [a, c, ("command", ("c",), 2), b]
        assert shape(follower.runs("killed in a batch")) == [a, ("batch", ("a",), 2), c, b]
        _, first, second, _ = follower.runs("killed in a command")
        assert first.end is None
        assert first.start.batch == second.start.batch
        assert first.start.fence < second.start.fence


class TestTimeLimits:
    """The two handlers have options of their own."""

    pytestmark = pytest.mark.handlers(
        chat={"backoff": BACKOFF, "command": {"backoff": BACKOFF, "max_attempts": 2, "time_limit": 1}}
    )

    @pytest.fixture
    def worker_args(self) -> tuple[str, ...]:
        return ("--pool", "prefork", "--concurrency", "2")

    def test_a_command_has_the_time_limit_and_the_attempts_of_its_own_handler(
        self, send_all: Callable[..., None], inbox: Inbox, follower: Follower
    ) -> None:
        """The batch runs for longer than a second; the command is killed at it, twice, and is a dead letter."""
        send_all("s", {"a": {"sleep": 1.5}, "c": command(sleep=60.0), "b": "b"})
        wait_until(lambda: follower.handled() == 2, description="both texts are handled", timeout=2 * RECOVERY)
        assert shape(follower.runs("s")) == [
            ("batch", ("a",), 1),
            ("command", ("c",), 1),
            ("command", ("c",), 2),
            ("batch", ("b",), 1),
        ]
        [letter] = inbox.dead_letters()
        assert (letter.is_command, letter.attempts, letter.reason) == (True, 2, "crashed")
        check(follower.events(), command_order="in_line", dead=[("s", "c")]).assert_clean()
        assert inbox.purge(letter) == 1


def has_bang(body: Any) -> bool:
    """A callable that cannot cope with every body."""
    return bool(body["text"].startswith("!"))


PREFIX: dict[str, tuple[Any, bool]] = {
    "the prefix": (",help", True),
    "the prefix alone": (",", True),
    "a leading space": (" ,help", False),
    "a full-width comma": ("\N{FULLWIDTH COMMA}help", False),
    "the prefix further on": ("no, thanks", False),
    "an empty text": ("", False),
    "a megabyte": ("," + "x" * (1 << 20), True),
    "a megabyte of text": ("x" * (1 << 20), False),
    "a text in a dict": ({"text": ",help", "from": "ann"}, True),
    "another text in a dict": ({"text": "help", "caption": ",help"}, False),
    "a dict without text": ({"photo": "a.jpg"}, False),
    "a text that is no text": ({"text": [",help"]}, False),
    "a number": (7, False),
    "a list": ([",help"], False),
    "nothing": (None, False),
}
SLASH: dict[str, tuple[Any, bool]] = {
    "a slash": ("/help", True),
    "a full-width slash": ("\N{FULLWIDTH SOLIDUS}help", False),
    "a slash after a space": (" /help", False),
}
BANG: dict[str, tuple[Any, bool]] = {
    "the callable says yes": ({"text": "!stop"}, True),
    "the callable says no": ({"text": "stop"}, False),
    "the callable raises": ("!stop", False),
    "the callable raises on an empty dict": ({}, False),
}


class TestPredicates:
    """What makes a message a command: a table for each predicate, through a real worker."""

    @pytest.fixture
    def is_command(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    @pytest.fixture
    def inbox(self, celery_setup: CeleryTestSetup, is_command: Any) -> Inbox:
        return Inbox(celery_setup.app, "chat", is_command=is_command, max_message_bytes=2 << 20)

    @pytest.mark.parametrize(
        ("is_command", "table"),
        [(",", PREFIX), ("/", SLASH), (has_bang, BANG)],
        ids=["prefix", "slash", "callable"],
        indirect=["is_command"],
    )
    def test_the_predicate_alone_decides_which_handler_is_called(
        self, table: dict[str, tuple[Any, bool]], inbox: Inbox, send: Send, history: History, follower: Follower
    ) -> None:
        """Each body in a session of its own: the receipt and the handler that was called agree with the table."""
        receipts = {session: send(session, body) for session, (body, _) in table.items()}
        wait_until(lambda: follower.handled() == len(table), description="all is handled", timeout=RECOVERY)
        assert_in_line(follower)
        for session, (_, is_command) in table.items():
            assert receipts[session].status == ("command" if is_command else "accepted"), session
            [run] = follower.runs(session)
            assert run.kind == ("command" if is_command else "batch"), session


class TestNoCommandHandler:
    """An app without one."""

    @pytest.fixture
    def default_worker_app_module(self) -> ModuleType:
        return bot("asynchronous")

    @pytest.fixture
    def first_worker_args(self) -> tuple[str, ...]:
        """An ordinary worker, for the one that is asked for must not start."""
        return ()

    def test_a_worker_whose_inbox_has_commands_in_line_and_no_handler_for_them_is_refused(
        self, refused: Refused
    ) -> None:
        """Otherwise the first command would block its session for ever."""
        code, log = refused("--pool", "solo", "--inbox", "all")
        assert code != 0
        [line] = [line for line in log.splitlines() if line.startswith("celery-inbox:")]
        assert "inbox chat has no command_handler: decorate a function with @inbox.command_handler" in line
        assert "Traceback" not in log
