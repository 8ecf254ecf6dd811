"""The README and the docs say what is so, and what they show runs."""

from __future__ import annotations

import ast
import re
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from celery.utils.dispatch import Signal

import celery_inbox
from celery_inbox import ConfigurationError, Inbox, Settings, StorageUnavailable
from celery_inbox.observe import signals
from celery_inbox.store.moves import Plan
from celery_inbox.store.repartition import Repartition
from celery_inbox.store.scripts import LUA
from celery_inbox.worker.outcome import Policy
from celery_inbox.worker.partitions import parse
from waiting import wait_until

from .markdown import PAGES, README, ROOT, blocks, script, table

OPERATIONS = ROOT / "docs" / "operations.md"
SOON = 30.0
"""Seconds until a worker of a busy machine has started, or has ended."""


def default(cell: str) -> object:
    """Read the default in a table's cell: the first thing in backticks."""
    return ast.literal_eval(cell.split("`")[1])


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SOON, check=False, **options)


@contextmanager
def running(command: str, log: Path, **options: Any) -> Iterator[None]:
    """Run a command line as it stands in the README, its output in a file; end it as Ctrl-C or a supervisor would."""
    with log.open("wb") as output:
        process = subprocess.Popen(shlex.split(command, comments=True), stdout=output, stderr=output, **options)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SOON)
            finally:
                process.kill()


def prints(log: Path, line: str) -> bool:
    """Whether a process has written a line."""
    return line in log.read_text()


# Snippets.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_snippet_runs(page: Path, project: Path, environment: dict[str, str]) -> None:
    """Each page's snippets in one go, top to bottom, on a real server or in eager mode as they say themselves."""
    snippets = project / f"{page.stem}.py"
    snippets.write_text(script(page))
    ended = python(str(snippets), cwd=project, env=environment)
    assert ended.returncode == 0, f"{page.name}: line numbers are the page's\n{ended.stderr}"


def test_the_quickstart_runs_as_it_is_written(project: Path, environment: dict[str, str]) -> None:
    """Its worker, its sends: one command at once, one batch of three after the lull."""
    _, worker, send = (block.text for block in blocks(README, "sh")[:3])
    log = project / "worker.log"
    with running(worker, log, cwd=project, env=environment):
        wait_until(partial(prints, log, " ready."), description="the worker is ready", timeout=SOON)
        subprocess.run(shlex.split(send), cwd=project, env=environment, check=True, timeout=SOON)
        for line in ("ada commands ,help", "ada wrote ['hi', 'are you', 'there?']"):
            assert line in README.read_text()
            wait_until(partial(prints, log, line), description=f"the worker prints {line!r}")


def test_the_server_of_the_quickstart_prints_its_url(project: Path, environment: dict[str, str]) -> None:
    """The first line is a URL that the other terminals can use."""
    log = project / "server.log"
    alone = {name: value for name, value in environment.items() if name != "REDIS_URL"}
    with running(blocks(README, "sh")[0].text, log, env=alone):
        wait_until(partial(prints, log, "\n"), description="the server prints its URL", timeout=SOON)
        url = log.read_text().splitlines()[0]
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_the_django_snippet_is_served_by_an_autodiscovered_module(project: Path, environment: dict[str, str]) -> None:
    """The usual ``proj/celery.py``, the README's ``chat/tasks.py`` and setting, eager: one batch."""
    setting = re.search(r"^`(CELERY_INBOX_SETTINGS = .+)`\.$", README.read_text(), re.MULTILINE)
    assert setting is not None
    (project / "chat" / "__init__.py").touch()
    (project / "settings.py").write_text(f"INSTALLED_APPS = ['chat']\nCELERY_TASK_ALWAYS_EAGER = True\n{setting[1]}\n")
    (project / "proj.py").write_text(
        "import os\n"
        "from celery import Celery\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "app = Celery('proj')\n"
        "app.config_from_object('django.conf:settings', namespace='CELERY')\n"
        "app.autodiscover_tasks()\n"
    )
    view = (
        "import proj, django\n"
        "django.setup()\n"
        "from chat.tasks import inbox\n"
        "inbox.send('user:1', 'hi')\n"
        "print(inbox.settings.debounce, inbox.settings.max_wait)\n"
    )
    ended = python("-c", view, cwd=project, env=environment)
    assert ended.stdout == "user:1 wrote ['hi']\n1.0 5.0\n", ended.stderr


# What is said.


def test_the_settings_table_equals_the_settings() -> None:
    """Every setting, in the order of the code, with its default."""
    said = {name: default(cells[0]) for name, cells in table(README, "setting").items()}
    assert said == {field.name: field.default for field in fields(Settings)}
    assert list(said) == [field.name for field in fields(Settings)]


def test_the_table_of_handler_options_equals_the_policy() -> None:
    """Every option of ours, with its default."""
    said = {name: default(cells[0]) for name, cells in table(README, "option").items()}
    assert said == {field.name: field.default for field in fields(Policy)}


def test_every_public_name_is_mentioned() -> None:
    """What ``__all__`` exports stands in the README."""
    text = README.read_text()
    assert [name for name in celery_inbox.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_worker_line_can_be_read() -> None:
    """The words of ``--inbox`` and ``CELERY_INBOX`` mean partitions, and ``-Q`` names queues that exist."""
    text = "".join(block.text for block in blocks(README, "sh"))
    words = re.findall(r"--inbox (\S+)", text) + re.findall(r'CELERY_INBOX="([^"]+)"', text)[0].split()
    assert {"all", "all,command", "0-3,7", "command", "chat=0-3", "chat=0-15"} <= set(words)
    for word in words:
        assert parse([word], {"chat": 32})["chat"]
    assert set(re.findall(r"-Q (\S+)", text)[0].split(",")) == {"chat.0", "chat.command"}


def test_what_is_called_missing_is_missing() -> None:
    """The README's "not there yet" is up to date."""
    gap = re.search(r"^- Not there yet: (.+?)\n- ", README.read_text(), re.MULTILINE | re.DOTALL)
    assert gap is not None
    if "`--inbox auto`" in gap[1]:
        with pytest.raises(ConfigurationError):
            parse(["auto"], {"chat": 32})


def test_every_signal_is_in_the_table() -> None:
    """``docs/operations.md`` says what to watch each signal for."""
    said = {name.strip("` ") for first in table(OPERATIONS, "signal") for name in first.split(",")}
    assert said == {each.name.removeprefix("inbox_") for each in vars(signals).values() if isinstance(each, Signal)}


@pytest.mark.parametrize(
    "page",
    [*PAGES, *ROOT.glob("[AC]*.md"), ROOT / "deploy" / "README.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """Links within the repository, and tests named as evidence."""
    text = page.read_text()
    links = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if not urlsplit(target).scheme}
    paths = [page.parent / link for link in links if link]
    paths += [ROOT / name for name in re.findall(r"`(tests/[\w/]+\.py)`", text)]
    assert [path for path in paths if not path.exists()] == []


# The least rights in Redis.


OF_THE_CLIENT = {
    "select", "ping", "info", "config|get", "eval", "evalsha", "script|load", "subscribe", "unsubscribe",
}  # fmt: skip
"""What redis-py, the store and ``check`` call themselves."""


def rights() -> list[str]:
    """The rules of the ACL user that the docs show."""
    line = next(line for line in OPERATIONS.read_text().splitlines() if line.startswith("ACL SETUSER inbox "))
    return line.split()[3:]


def test_the_users_rights_cover_every_command_of_the_scripts() -> None:
    """A new call in a Lua file needs a new right in ``docs/operations.md``, and no right is there without a call."""
    used = {
        command.lower()
        for file in Path(str(LUA)).rglob("*.lua")
        for command in re.findall(r"redis\.p?call\('(\w+)'", file.read_text())
    }
    granted = {rule.removeprefix("+") for rule in rights() if rule.startswith("+")}
    to_repartition = {rule.removeprefix("+") for rule in rights_to_repartition()}
    assert sorted(used - granted - to_repartition) == []
    assert sorted(granted - used - OF_THE_CLIENT) == []


def rights_to_repartition() -> list[str]:
    """The rules that the docs add for as long as sessions are moved."""
    line = re.search(r"^ACL SETUSER inbox ((?:\+\w+ ?)+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert line is not None
    return line[1].split()


def test_sessions_are_moved_with_the_rights_for_it(own_url: str) -> None:
    """Without them it is refused and can be run again; with them it ends."""
    user = f"inbox-{uuid.uuid4().hex}"
    with redis.Redis.from_url(own_url) as admin:
        admin.execute_command("ACL", "SETUSER", user, *rights())
        try:
            inbox = Inbox(
                Celery("least", set_as_current=False), "moving", redis_url=as_user(own_url, user), partitions=2
            )
            for number in range(9):
                inbox.send(f"s{number}", "hi", id="1")
            store = inbox.open_store()
            with pytest.raises(StorageUnavailable, match=r"(?i)permissions"):
                Repartition(store, 2, 3).run(print)
            admin.execute_command("ACL", "SETUSER", user, *rights_to_repartition())
            assert Repartition(store, 2, 3).run(print).sessions > 0
            store.client.close()
        finally:
            admin.execute_command("ACL", "DELUSER", user)


def test_an_inbox_works_with_the_least_rights(own_url: str) -> None:
    """Send, wake, dispatch, claim, nack, ack, redrive as that user; other keys are refused."""
    user = f"inbox-{uuid.uuid4().hex}"
    with redis.Redis.from_url(own_url) as admin:
        admin.execute_command("ACL", "SETUSER", user, *rights())
        try:
            use(own_url, user)
        finally:
            admin.execute_command("ACL", "DELUSER", user)


def as_user(url: str, user: str) -> str:
    """Address the server as that user."""
    return f"redis://{user}:secret@{urlsplit(url).netloc.rpartition('@')[2]}{urlsplit(url).path}"


def use(url: str, user: str) -> None:
    """Take a message from send to ack, by way of a failure and a dead letter; another from send to drop."""
    restricted = as_user(url, user)
    inbox = Inbox(Celery("least", set_as_current=False), "least", redis_url=restricted, debounce=0.0, partitions=1)
    store = inbox.open_store()
    with redis.Redis.from_url(restricted) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.get("another:key")
    wakes = store.wakes(["0"])
    store.dispatch(["0"], "nonce", 1)
    inbox.send("ada", "hi", id="1")
    inbox.send_many([("ada", "there")])
    wait_until(lambda: store.woken(wakes, 0.1), description="the send wakes a dispatcher")
    assert len(store.dispatch(["0"], "nonce", 1)[0].kicks) == 1
    claim = store.claim("0", "token", Plan(max_attempts=1), kick="nonce-0-m1")
    assert claim is not None
    assert store.renew(claim)
    assert store.standing(claim) == "held"
    assert store.nack(claim, -1, "no").outcome == "dead"
    assert inbox.redrive(inbox.dead_letters()[0]) == 2
    claim = store.claim("0", "another", Plan())
    assert claim is not None
    store.stop(["0"], "worker")
    assert store.reclaim("0") == []
    assert store.ack(claim).handled == 2
    assert inbox.peek("ada") is None
    inbox.send("bob", "hi", id="1")
    assert inbox.replace("bob", "1", "hello")
    inbox.pause("bob")
    assert inbox.resume("bob")
    assert [info.session for info in inbox.sessions()] == ["bob"]
    assert [message.body for message in inbox.drop("bob")] == ["hello"]
    assert inbox.forget("bob")["messages"] == 0
    assert inbox.stats().handled == 2
    wakes.close()
    store.client.close()
