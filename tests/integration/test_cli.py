"""``celery -A proj inbox …``: every command, its mistakes, its exit codes, its JSON."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import click
import pytest
import redis
from celery import Celery
from click.testing import CliRunner, Result
from pytest_celery import RabbitMQTestBroker

from celery_inbox import Inbox
from celery_inbox.cli import inbox as commands
from celery_inbox.cli.output import by_rich, shown
from celery_inbox.cli.times import away, duration
from celery_inbox.embedded import Server
from celery_inbox.store.moves import Claim, Plan
from celery_inbox.worker.queues import queue_of
from nodes.rabbitmq import SERVER as RABBITMQ
from waiting import wait_until

READY = 30.0  # seconds until a worker of a busy machine serves
EXIT = 20.0  # seconds until a worker has ended
ONE_SESSION = ("peek", "touch", "flush", "pause", "resume", "cancel", "drop", "forget")


def name_of_test() -> str:
    """Part of names that no other test uses."""
    return uuid.uuid4().hex[:8]


def handle(work: Any) -> None:
    """Stands for a handler; no test here runs it."""


def inbox_of(url: str, **settings: Any) -> Inbox:
    """An inbox whose app, queues and keys nobody else uses, with both handlers."""
    app = Celery("proj", broker=url, set_as_current=False)
    settings = {"namespace": f"cli-{name_of_test()}", "partitions": 4, "is_command": ",", **settings}
    inbox = Inbox(app, f"chat-{name_of_test()}", **settings)
    inbox.handler(name="proj.reply")(handle)
    inbox.command_handler(name="proj.command")(handle)
    return inbox


@pytest.fixture
def inbox(redis_url: str) -> Iterator[Inbox]:
    """An inbox on the shared server; its keys go with the test."""
    inbox = inbox_of(redis_url)
    yield inbox
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{inbox.settings.namespace}:*"):
            client.delete(key)


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that this test may spoil."""
    with Server() as server:
        yield server


def run(inbox: Inbox | Celery, *words: str, answer: str | None = None) -> Result:
    """Run a command in this process, as ``celery -A proj inbox`` would."""
    app = inbox.app if isinstance(inbox, Inbox) else inbox
    return CliRunner().invoke(commands, list(words), obj=SimpleNamespace(app=app), input=answer, catch_exceptions=False)


def told(inbox: Inbox, *words: str, code: int = 0) -> Any:
    """Run a command with ``--json``; its exit code is checked, what it printed is read."""
    result = run(inbox, *words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def failed(inbox: Inbox | Celery, *words: str, code: int) -> str:
    """Run a command that cannot work: nothing on stdout, its last line on stderr is the reply."""
    result = run(inbox, *words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def claim(inbox: Inbox, session: str) -> Claim:
    """Have the session's batch run."""
    inbox.flush(session)
    claimed = inbox.store.claim(inbox._address(session).partition, "token", Plan(max_attempts=1))
    assert claimed is not None
    return claimed


def bury(inbox: Inbox, session: str, body: str) -> str:
    """Make a dead letter of one message; its id is the reply."""
    inbox.send(session, body)
    settled = inbox.store.nack(claim(inbox, session), -1, "ValueError: no", "Traceback:\n  told to fail")
    assert settled.dead_id is not None
    return settled.dead_id


# Looking.


def test_sessions_lists_what_waits_runs_and_is_stopped(inbox: Inbox) -> None:
    """One row per session, in words for people and as numbers for programs."""
    assert run(inbox, "sessions").stdout == f"{inbox} has no sessions\n"
    inbox.send("runs", "a")
    claim(inbox, "runs")
    inbox.send("waits", "b")
    inbox.pause("rests", 600)
    inbox.send("rests", "c")
    lines = {line.split()[0]: line for line in run(inbox, "sessions").stdout.splitlines()}
    assert "due in " in lines["waits"]
    assert "running, lease ends in 30 s" in lines["runs"] or "running, lease ends in 29 s" in lines["runs"]
    assert "stopped, resumes in 10 min" in lines["rests"]
    found = told(inbox, "sessions")
    assert {info["session"]: info["state"] for info in found} == {
        "runs": "running",
        "waits": "due",
        "rests": "stopped",
    }
    assert [info["session"] for info in told(inbox, "sessions", "--state", "running")] == ["runs"]


def test_sessions_says_when_there_are_more_than_it_lists(inbox: Inbox) -> None:
    """On stderr, so that what is piped stays whole."""
    for number in range(3):
        inbox.send(f"s{number}", "hi")
    result = run(inbox, "sessions", "--most", "2", "--json")
    assert len(json.loads(result.stdout)) == 2
    assert "there are more" in result.stderr


def test_stats_add_up(inbox: Inbox) -> None:
    """Accepted is the sum of the ends and of what is pending; an empty inbox has no lateness yet."""
    assert "no batch yet" in run(inbox, "stats").stdout
    inbox.send("ada", "hi")
    inbox.store.ack(claim(inbox, "ada"))
    inbox.send("ada", "there")
    found = told(inbox, "stats")
    assert (found["accepted"], found["handled"], found["pending"], found["due"]) == (2, 1, 1, 1)
    text = run(inbox, "stats").stdout
    assert "handled" in text
    assert "of 1 batches" in text


def test_peek_shows_messages_and_changes_nothing(inbox: Inbox) -> None:
    """Waiting ones and those of the open batch; a long body is shortened unless the whole is wanted."""
    inbox.send("ada", {"text": "x" * 200}, id="1")
    claim(inbox, "ada")
    inbox.send("ada", "there?", id="2")
    view = told(inbox, "peek", "ada")
    assert [message["id"] for message in view["batch"]] == ["1"]
    assert [message["body"] for message in view["messages"]] == ["there?"]
    text = run(inbox, "peek", "ada").stdout
    assert "running, lease ends in" in text
    assert "…" in text
    assert "x" * 200 in run(inbox, "peek", "ada", "--whole").stdout
    assert told(inbox, "peek", "ada") == view


@pytest.mark.parametrize("command", [name for name in ONE_SESSION if name != "pause"])
def test_a_session_without_messages_ends_with_one(inbox: Inbox, command: str) -> None:
    """A sentence on stderr, nothing on stdout; with JSON an object that says so."""
    yes = ("--yes",) if command in ("drop", "forget") else ()
    assert "session nobody" in failed(inbox, command, "nobody", *yes, code=1)
    assert told(inbox, command, "nobody", *yes, code=1) in (
        None,
        [],
        {"session": "nobody", "due_at": None},
        {"session": "nobody", "flushed": 0},
        {"session": "nobody", "resumed": False},
        {"session": "nobody", "cancelled": False},
        {"session": "nobody", "messages": 0, "dead": 0},
    )


@pytest.mark.parametrize("command", ONE_SESSION)
def test_a_session_that_cannot_be_is_refused(inbox: Inbox, command: str) -> None:
    """The line has value and limit."""
    yes = ("--yes",) if command in ("drop", "forget") else ()
    line = failed(inbox, command, "x" * 513, *yes, code=2)
    assert "513 UTF-8 bytes" in line
    assert "512" in line


def test_a_session_that_begins_with_a_dash_goes_after_two(inbox: Inbox) -> None:
    """As the chat ids of groups do."""
    inbox.send("-100123", "hi")
    assert told(inbox, "sessions")[0]["session"] == "-100123"
    result = run(inbox, "peek", "--json", "--", "-100123")
    assert json.loads(result.stdout)["session"] == "-100123"


def test_a_session_s_name_cannot_steer_the_terminal(inbox: Inbox) -> None:
    """Control characters are shown, not sent."""
    inbox.send("evil\x1b[2J\n", "hi")
    text = run(inbox, "sessions").stdout
    assert r"evil\x1b[2J\n" in text
    assert "\x1b" not in text


def test_queues_show_partitions_and_kicks_in_the_broker(inbox: Inbox) -> None:
    """The broker's length is read without declaring the queue; nobody consumes."""
    inbox.send("ada", "hi", flush=True)
    partition = inbox._address("ada").partition
    with redis.Redis.from_url(inbox.app.conf.broker_url) as client:
        client.lpush(f"{inbox.name}.{partition}", "a kick", "another")
        rows = {row["partition"]: row for row in told(inbox, "queues", "--no-inspect")}
        client.delete(f"{inbox.name}.{partition}")
        assert [*client.scan_iter(f"{inbox.name}.*"), *client.scan_iter(f"_kombu*{inbox.name}*")] == []
    assert list(rows) == ["0", "1", "2", "3", "command"]
    assert (rows[partition]["due"], rows[partition]["queued"], rows[partition]["looked_at"]) == (1, 2, None)
    assert rows["command"]["queued"] == 0
    assert rows["command"]["consumers"] is None
    assert told(inbox, "queues")[0]["consumers"] == []
    assert "never" in run(inbox, "queues", "--no-inspect").stdout


def test_queues_go_on_without_the_broker(inbox: Inbox) -> None:
    """What Redis says is shown; a note on stderr says what is missing."""
    lonely = Inbox(Celery("lonely", broker="redis://127.0.0.1:1/0", set_as_current=False), "lonely", partitions=1)
    lonely.app.conf.inbox_redis_url = inbox.app.conf.broker_url
    result = run(lonely, "queues", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["queued"] is None
    assert "the broker did not answer" in result.stderr


# Single messages.


def test_send_stores_text_json_and_commands(inbox: Inbox) -> None:
    """The receipt is printed; a duplicate is no mistake."""
    assert told(inbox, "send", "ada", "hi", "--id", "1", "--header", "lang=en")["status"] == "accepted"
    assert told(inbox, "send", "ada", "hi", "--id", "1")["status"] == "duplicate"
    assert told(inbox, "send", "ada", '{"a": 1}', "--body-json")["waiting"] == 2
    assert told(inbox, "send", "ada", "stop", "--command")["status"] == "command"
    assert "accepted: 2; 3 waiting, due" in run(inbox, "send", "ada", "now", "--id", "2", "--flush").stdout
    view = inbox.peek("ada")
    assert view is not None
    assert [message.body for message in view.messages] == ["hi", {"a": 1}, "now"]
    assert view.messages[0].headers == {"lang": "en"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("send", "ada", "{", "--body-json"), "no JSON"),
        (("send", "ada", "hi", "--header", "lang"), "say NAME=VALUE"),
        (("send", "ada", "hi", "--command", "--flush"), "--command stands alone"),
        (("send", "ada", "hi", "--id", ""), "id"),
        (("send", "ada", "x" * 300_000), "max_message_bytes is 262144"),
        (("send", "ada"), "Missing argument"),
        (("pause", "ada", "--for", "-5"), "no duration above 0"),
        (("pause", "ada", "--for", "soon"), "say seconds, or a number with s, m, h or d"),
        (("sessions", "--most", "0"), "x>=1"),
        (("dead", "redrive"), "say the IDs of dead letters"),
        (("dead", "purge", "1-1", "--all"), "say the IDs of dead letters"),
        (("stats", "--inbox", "chta"), "no inbox 'chta'; it has: chat-"),
        (("statz",), "stats"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_call_that_cannot_work_ends_with_two(inbox: Inbox, words: tuple[str, ...], expected: str) -> None:
    """It says what was wrong, and nothing was stored."""
    result = run(inbox, *words)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert result.stdout == ""
    assert list(inbox.sessions()) == []


def test_a_full_session_ends_with_one(redis_url: str) -> None:
    """Nothing was stored; the line names the limit."""
    inbox = inbox_of(redis_url, max_pending=1, max_batch=1)
    inbox.send("ada", "hi")
    assert "max_pending=1" in failed(inbox, "send", "ada", "there", code=1)
    inbox.forget("ada")


def test_touch_pushes_the_debounce_back(inbox: Inbox) -> None:
    """The reply is the new time."""
    due_at = inbox.send("ada", "hi").due_at
    assert due_at is not None
    assert told(inbox, "touch", "ada")["due_at"] >= due_at
    assert "is due in" in run(inbox, "touch", "ada").stdout


def test_replace_and_remove_reach_waiting_messages_only(inbox: Inbox) -> None:
    """Too late ends with 1."""
    inbox.send("ada", "hi", id="1")
    assert told(inbox, "replace", "ada", "1", "hello")["replaced"] is True
    view = inbox.peek("ada")
    assert view is not None
    assert view.messages[0].body == "hello"
    assert run(inbox, "remove", "ada", "1").stdout == "removed: 1\n"
    assert told(inbox, "remove", "ada", "1", code=1) == {"session": "ada", "id": "1", "removed": False}
    assert "no message 1 waits" in failed(inbox, "replace", "ada", "1", "again", code=1)


def test_a_message_that_cannot_be_read_is_told_in_one_line(inbox: Inbox) -> None:
    """Until a worker sets it aside."""
    inbox.send("ada", "hi")
    place = inbox._address("ada")
    with redis.Redis.from_url(inbox.app.conf.broker_url) as client:
        [key] = client.scan_iter(f"{inbox.settings.namespace}:*:w:{place.digest}")
        client.lset(str(key, "utf-8"), 0, "garbage")
    assert "unreadable  1 cannot be read" in run(inbox, "peek", "ada").stdout
    assert told(inbox, "peek", "ada")["unreadable"] == 1


# Steering.


def test_flush_makes_a_session_due(inbox: Inbox) -> None:
    """The reply counts its messages."""
    inbox.send("ada", "hi")
    assert told(inbox, "flush", "ada") == {"session": "ada", "flushed": 1}
    assert inbox.store.claim(inbox._address("ada").partition, "token", Plan()) is not None


def test_pause_and_resume_stop_and_start_a_session(inbox: Inbox) -> None:
    """With a unit, in seconds, or until resume."""
    inbox.send("ada", "hi")
    assert told(inbox, "pause", "ada", "--for", "15m")["for"] == 900
    assert run(inbox, "pause", "ada", "--for", "90").stdout == "session ada is stopped for 90 s\n"
    assert run(inbox, "pause", "ada").stdout == "session ada is stopped until resume\n"
    assert "stopped until resume" in run(inbox, "peek", "ada").stdout
    assert told(inbox, "resume", "ada") == {"session": "ada", "resumed": True}
    assert told(inbox, "sessions")[0]["state"] == "due"


def test_cancel_marks_the_open_batch(inbox: Inbox) -> None:
    """Its holder learns of it."""
    inbox.send("ada", "hi")
    held = claim(inbox, "ada")
    assert told(inbox, "cancel", "ada") == {"session": "ada", "cancelled": True}
    assert inbox.store.standing(held) == "cancelled"


def test_drop_prints_what_it_took_out(inbox: Inbox) -> None:
    """It asks first; no changes nothing and ends with 1."""
    inbox.send("ada", {"text": "hi"}, id="1")
    refused = run(inbox, "drop", "ada", "--json", answer="n\n")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert run(inbox, "drop", "ada", answer="").exit_code == 1
    assert inbox.peek("ada") is not None
    assert [message["body"] for message in told(inbox, "drop", "ada", "--yes")] == [{"text": "hi"}]
    inbox.send("ada", "again", id="2")
    result = run(inbox, "drop", "ada", answer="y\n")
    assert result.exit_code == 0
    assert '"again"' in result.stdout
    assert inbox.peek("ada") is None


def test_forget_deletes_everything_about_a_session(inbox: Inbox) -> None:
    """Dead letters too; it asks first."""
    bury(inbox, "ada", "dead")
    inbox.send("ada", "hi")
    assert run(inbox, "forget", "ada", answer="n\n").exit_code == 1
    assert told(inbox, "forget", "ada", "--yes") == {"session": "ada", "messages": 1, "dead": 1}
    assert inbox.dead_letters() == []


# Dead letters.


def test_dead_letters_are_listed_and_shown(inbox: Inbox) -> None:
    """The list has a row each, show has the traceback, JSON everything."""
    assert run(inbox, "dead", "list").stdout == f"{inbox} has no dead letters\n"
    id = bury(inbox, "ada", "hi")
    bury(inbox, "bob", "there")
    assert "ValueError: no" in run(inbox, "dead", "list").stdout
    assert "there are more" in run(inbox, "dead", "list", "--most", "1").stderr
    [letter] = told(inbox, "dead", "list", "--session", "ada")
    assert (letter["id"], letter["messages"][0]["body"]) == (id, "hi")
    assert "told to fail" in run(inbox, "dead", "show", id).stdout
    assert told(inbox, "dead", "show", id) == letter
    assert "no dead letter 0-1" in failed(inbox, "dead", "show", "0-1", code=1)


def test_dead_letters_are_redriven_by_id_or_all(inbox: Inbox) -> None:
    """An id that is gone ends with 1, the others are redriven all the same; all asks first."""
    id = bury(inbox, "ada", "hi")
    for session in ("bob", "eve"):
        bury(inbox, session, "there")
    result = run(inbox, "dead", "redrive", id, "0-1", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [{"id": id, "session": "ada", "messages": 1}]
    assert "no dead letter 0-1" in result.stderr
    assert inbox.peek("ada") is not None
    assert run(inbox, "dead", "redrive", "--all", answer="n\n").exit_code == 1
    assert len(inbox.dead_letters()) == 2
    assert [done["session"] for done in told(inbox, "dead", "redrive", "--all", "--session", "bob", "--yes")] == ["bob"]
    assert run(inbox, "dead", "redrive", "--all", answer="y\n").exit_code == 0
    assert inbox.dead_letters() == []
    assert told(inbox, "dead", "redrive", "--all", code=1) == []


def test_dead_letters_are_purged_after_a_question(inbox: Inbox) -> None:
    """By id or all."""
    first, second = bury(inbox, "ada", "hi"), bury(inbox, "bob", "there")
    assert run(inbox, "dead", "purge", first, answer="n\n").exit_code == 1
    assert [done["id"] for done in told(inbox, "dead", "purge", first, "--yes")] == [first]
    assert [done["id"] for done in told(inbox, "dead", "purge", "--all", "-y")] == [second]
    assert "no dead letter" in failed_with_text(inbox, "dead", "purge", first, "-y")


def failed_with_text(inbox: Inbox, *words: str) -> str:
    """Run a command that finds nothing to do; both outputs are the reply."""
    result = run(inbox, *words)
    assert result.exit_code == 1
    return result.output


# Which inbox, which Redis.


def test_an_app_without_an_inbox_is_refused() -> None:
    """The line says where to look."""
    app = Celery("empty", broker="memory://", set_as_current=False)
    for command in ("sessions", "check"):
        assert "has no Inbox: name the app as in celery -A proj" in failed(app, command, code=2)


def test_an_app_whose_modules_fail_to_import_is_refused_in_one_line() -> None:
    """Exception and text, no traceback."""
    app = Celery("broken", broker="memory://", set_as_current=False, imports=["no_such_module_anywhere"])
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in failed(app, "stats", code=2)


def test_an_eager_app_is_refused() -> None:
    """Its sends never reach Redis."""
    inbox = inbox_of("redis://127.0.0.1:1/0")
    inbox.app.conf.task_always_eager = True
    assert "task_always_eager is set" in failed(inbox, "stats", code=2)


def test_other_partitions_than_recorded_are_refused_before_anything_is_looked_up(inbox: Inbox) -> None:
    """A command would look for the session where it is not."""
    inbox.send("ada", "hi")
    other = Inbox(
        Celery("other", broker=inbox.app.conf.broker_url, set_as_current=False),
        inbox.name,
        namespace=inbox.settings.namespace,
        partitions=8,
    )
    for words in (("peek", "ada"), ("flush", "ada"), ("stats",)):
        line = failed(other, *words, code=2)
        assert "set to partitions=8, Redis has recorded 4" in line


@pytest.mark.parametrize(
    "words",
    [
        ("sessions",),
        ("stats",),
        ("queues",),
        ("dead", "list"),
        ("send", "ada", "hi"),
        ("flush", "ada"),
        ("pause", "ada"),
    ],
    ids=" ".join,
)
def test_redis_away_ends_with_three(words: tuple[str, ...]) -> None:
    """The line names the address, without a password."""
    inbox = inbox_of("redis://:secret@127.0.0.1:1/0")
    line = failed(inbox, *words, code=3)
    assert "Redis did not answer" in line
    assert "127.0.0.1:1/0" in line
    assert "secret" not in line


# Check.


def subjects(findings: list[dict[str, Any]]) -> set[str]:
    """What the findings are about."""
    return {finding["subject"] for finding in findings}


def found(findings: list[dict[str, Any]], subject: str) -> str:
    """What was found of a subject, with what to do."""
    return " ".join(f"{each['found']} -> {each['remedy']}" for each in findings if each["subject"] == subject)


def test_check_without_a_worker_says_which_to_start(inbox: Inbox) -> None:
    """Two errors, and how to end them; a person sees them first."""
    report = told(inbox, "check", code=1)
    assert report["healthy"] is False
    assert subjects(report["errors"]) == {"dispatchers", "commands"}
    assert f"celery -A proj worker --inbox {inbox.name}=all" in found(report["errors"], "dispatchers")
    assert f"--inbox {inbox.name}=command" in found(report["errors"], "commands")
    assert "nothing is recorded yet" in found(report["ok"], "agreement")
    lines = run(inbox, "check").stdout.splitlines()
    assert lines[0] == str(inbox)
    assert lines[1].split()[:2] == ["error", "dispatchers"]
    assert lines[-1].startswith("errors: 2, warnings: ")


def test_check_writes_nothing(own_server: Server) -> None:
    """No key, not even what a first send records."""
    inbox = inbox_of(own_server.url)
    told(inbox, "check", code=1)
    with redis.Redis.from_url(own_server.url) as client:
        assert list(client.scan_iter("*")) == []


def test_a_send_or_a_pause_does_not_look_like_a_dispatcher(inbox: Inbox) -> None:
    """They leave marks in the partition too."""
    inbox.pause("ada")
    inbox.send("ada", "hi")
    assert "0-3, sessions that wait there: 0; none has ever looked" in found(
        told(inbox, "check", code=1)["errors"], "dispatchers"
    )


def test_check_names_partitions_whose_dispatcher_is_gone(inbox: Inbox) -> None:
    """Those that nobody looked at within lease + dispatch_interval, as the worker's option writes them."""
    inbox.store.dispatch(["0", "2", "3", "command"], "nonce", 1)
    report = told(inbox, "check", code=1)
    assert f"{inbox.name}=1" in found(report["errors"], "dispatchers")
    assert "a worker serves them" in found(report["ok"], "commands")
    inbox.store.dispatch(["0", "1", "2", "3"], "nonce", 1, now=1_700_000_000_000)
    report = told(inbox, "check", code=1)
    assert "the last one looked" in found(report["errors"], "dispatchers")
    assert "days ago" in found(report["errors"], "dispatchers")


def test_check_sees_sessions_that_wait_for_a_slot(inbox: Inbox) -> None:
    """Due for longer than recovery takes, although a dispatcher looks."""
    long_ago = 1_700_000_000_000
    inbox.store.send(inbox._outgoing("ada", "hi"), now=long_ago)
    inbox.store.dispatch(inbox.partition_names(), "nonce", 1)
    report = told(inbox, "check")
    assert "wait for a slot" in found(report["warnings"], "slots")


def test_check_finds_a_wrong_eviction_policy(own_server: Server) -> None:
    """Redis may throw messages away: an error."""
    inbox = inbox_of(own_server.url)
    with redis.Redis.from_url(own_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    report = told(inbox, "check", code=1)
    assert "maxmemory-policy is allkeys-lru" in found(report["errors"], "eviction")
    assert "set maxmemory-policy noeviction" in found(report["errors"], "eviction")


@pytest.mark.parametrize(
    ("appendonly", "save", "level", "expected"),
    [
        (False, "", "warnings", "keeps nothing on disk"),
        (False, "60 1", "warnings", "snapshots only"),
        (True, "", "ok", "appendonly is on"),
    ],
    ids=["nothing", "snapshots", "appendonly"],
)
def test_check_says_what_a_restart_of_redis_would_lose(appendonly: bool, save: str, level: str, expected: str) -> None:
    """Warnings, for some caches of messages may be lost."""
    with Server(appendonly=appendonly) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("save", save)
        assert expected in found(told(inbox_of(server.url), "check", code=1)[level], "persistence")


def test_check_warns_where_a_server_does_not_say(own_server: Server) -> None:
    """A user without INFO and CONFIG gets warnings, not errors."""
    with redis.Redis.from_url(own_server.url) as client:
        client.execute_command("ACL", "SETUSER", "quiet", "on", ">p", "~*", "&*", "+@all", "-info", "-config")
    inbox = inbox_of(f"redis://quiet:p@{own_server.url.rpartition('@')[2]}")
    report = told(inbox, "check", code=1)
    assert {"version", "eviction", "persistence"} <= subjects(report["warnings"])
    assert subjects(report["errors"]) == {"dispatchers", "commands"}


def test_check_finds_other_partitions_and_another_serializer(inbox: Inbox) -> None:
    """What processes must agree on."""
    inbox.send("ada", "hi")
    app = Celery("other", broker=inbox.app.conf.broker_url, set_as_current=False)
    other = Inbox(app, inbox.name, namespace=inbox.settings.namespace, partitions=8)
    other.handler(name="proj.other")(handle)
    assert "partitions=8, Redis has recorded 4" in found(told(other, "check", code=1)["errors"], "agreement")


def test_check_with_redis_away_ends_with_three() -> None:
    """What can be said without Redis is said."""
    report = told(inbox_of("redis://:secret@127.0.0.1:1/0"), "check", code=3)
    assert subjects(report["errors"]) == {"redis", "broker"}
    assert {"settings", "handlers"} <= subjects(report["ok"])
    assert "secret" not in json.dumps(report)


@pytest.mark.parametrize(
    ("settings", "level", "expected"),
    [
        ({"dedup_ttl": 50}, "warnings", "dedup_ttl=50 s is below 10 times max_wait=10 s"),
        ({"min_interval": 60}, "warnings", "min_interval=60 s is more than max_wait=10 s"),
        ({"lease": 3}, "warnings", "lease=3 s is less than 3 times socket_timeout=2 s"),
        ({"lease": 60, "max_run": 10}, "warnings", "lease=60 s is more than max_run=10 s"),
        ({"debounce": 20}, "errors", "debounce=20 is greater than max_wait=10"),
        ({"lease": 0.5}, "errors", "dispatch_interval=1 is greater than lease=0.5"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_check_finds_settings_that_defeat_each_other(
    redis_url: str, settings: dict[str, Any], level: str, expected: str
) -> None:
    """With both values, and what to change."""
    assert expected in found(told(inbox_of(redis_url, **settings), "check", code=1)[level], "settings")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"time_limit": 5}, "killed after time_limit=5 s, its lease of 30 s outlives it"),
        ({"time_limit": 60, "soft_time_limit": 60}, "it is killed before it is warned"),
    ],
    ids=["below the lease", "soft above hard"],
)
def test_check_finds_time_limits_that_do_not_suit(redis_url: str, options: dict[str, Any], expected: str) -> None:
    """Of each handler."""
    inbox = Inbox(Celery("limits", broker=redis_url, set_as_current=False), f"chat-{name_of_test()}", partitions=1)
    inbox.handler(name="proj.slow", **options)(handle)
    assert expected in found(told(inbox, "check", code=1)["warnings"], "handlers")


def test_check_finds_missing_handlers(redis_url: str) -> None:
    """Messages and commands that nobody would handle."""
    app = Celery("bare", broker=redis_url, set_as_current=False)
    bare = Inbox(app, f"chat-{name_of_test()}", partitions=1, is_command=",")
    errors = found(told(bare, "check", code=1)["errors"], "handlers")
    assert "no batch handler" in errors
    assert "no command handler" in errors


def test_check_looks_at_all_inboxes_or_at_one(redis_url: str) -> None:
    """Without a name at each that the app has."""
    inbox = inbox_of(redis_url)
    Inbox(inbox.app, "second", partitions=1, redis_url="redis://127.0.0.1:1/0")
    assert {each["inbox"] for each in told(inbox, "check", code=3)["errors"]} == {inbox.name, "second"}
    assert {each["inbox"] for each in told(inbox, "check", "--inbox", inbox.name, code=1)["errors"]} == {inbox.name}
    assert "no inbox 'third'" in failed(inbox, "check", "--inbox", "third", code=2)


def test_check_looks_at_the_broker_s_kind_and_settings(redis_url: str) -> None:
    """A broker in memory cannot work, eager mode and a short visibility_timeout are worth a word."""
    inbox = Inbox(
        Celery("memory", broker="memory://", set_as_current=False), "memory", redis_url=redis_url, partitions=1
    )
    inbox.handler(name="proj.memory")(handle)
    inbox.app.conf.task_always_eager = True
    inbox.app.conf.broker_transport_options = {"visibility_timeout": 60}
    report = told(inbox, "check", code=1)
    assert "lives in one process" in found(report["errors"], "broker")
    assert "task_always_eager is set" in found(report["warnings"], "eager")
    assert "visibility_timeout=60 s is less than the longest run, 60 min" in found(report["warnings"], "broker")


def test_check_and_queues_survive_addresses_that_are_none(redis_url: str) -> None:
    """Of the broker and of Redis: one line each."""
    inbox = Inbox(Celery("odd", broker="foo://bar", set_as_current=False), "odd", redis_url=redis_url, partitions=1)
    assert "No such transport: foo" in found(told(inbox, "check", code=1)["errors"], "broker")
    assert "No such transport: foo" in run(inbox, "queues").stderr
    nowhere = inbox_of("redis://localhost:port/0")
    assert "no address of a Redis: Port could not be cast" in failed(nowhere, "stats", code=2)
    assert "no address of a Redis" in found(told(nowhere, "check", code=1)["errors"], "redis")


@pytest.mark.skipif(not RABBITMQ.exists(), reason="rabbitmq-server is not installed")
def test_rabbitmq_is_asked_without_declaring_anything(
    redis_url: str, celery_rabbitmq_broker: RabbitMQTestBroker
) -> None:
    """A queue that nobody declared has no length; one after it is counted all the same."""
    app = Celery("rabbit", broker=celery_rabbitmq_broker.config()["host_url"], set_as_current=False)
    inbox = Inbox(app, f"chat-{name_of_test()}", redis_url=redis_url, partitions=2)
    inbox.handler(name="proj.rabbit")(handle)
    assert "RabbitMQ at amqp://" in found(told(inbox, "check", code=1)["ok"], "broker")
    with app.connection_for_write() as connection:
        queue = queue_of(inbox, "1")(connection.channel())
        queue.declare()
        app.amqp.Producer(connection).publish("a kick", exchange="", routing_key=queue.name)
        wait_until(lambda: queue.queue_declare(passive=True).message_count == 1, description="the kick is queued")
        rows = told(inbox, "queues")
        queue.delete()
    assert [(row["queued"], row["consumers"]) for row in rows] == [(None, []), (1, []), (None, [])]


# In a process of its own.


PROJECT = """
    import os
    from celery import Celery
    from celery_inbox import Inbox

    app = Celery("proj", broker=os.environ["BROKER"])
    app.conf.inbox_namespace = os.environ["NAMESPACE"]
    app.conf.inbox_partitions = 2
    inbox = Inbox(app, os.environ["NAMESPACE"], is_command=",")

    @inbox.handler(max_attempts=1)
    def reply(batch):
        pass

    @inbox.command_handler
    def command(command):
        pass
"""

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with an app."""
    (tmp_path / "proj.py").write_text(dedent(PROJECT))
    (tmp_path / "two.py").write_text(dedent(PROJECT) + "Inbox(app, 'second')\n")
    return tmp_path


@pytest.fixture
def environment(redis_url: str) -> dict[str, str]:
    return {**os.environ, "BROKER": redis_url, "NAMESPACE": f"cli-{name_of_test()}"}


@pytest.fixture
def cli(project: Path, environment: dict[str, str]) -> Cli:
    """Run ``celery -A …`` in the project."""

    def run(app: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "celery", "-A", app, "inbox", *words]
        return subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=READY, check=False
        )

    return run


@contextmanager
def worker(project: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a worker that serves all partitions and the commands."""
    command = [sys.executable, "-m", "celery", "-A", "proj", "worker", "-P", "solo", "--inbox", "all,command"]
    with (project / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(EXIT)
            finally:
                process.kill()


def test_check_of_a_healthy_setup_ends_with_zero(project: Path, environment: dict[str, str], cli: Cli) -> None:
    """A live worker, and whom ``queues`` names as consumer; what was sent is handled."""
    with worker(project, environment):
        wait_until(
            lambda: cli("proj", "check").returncode == 0, description="check finds a live worker", timeout=2 * READY
        )
        report = json.loads(cli("proj", "check", "--json").stdout)
        assert report["healthy"]
        assert "every partition has one: 0-1" in found(report["ok"], "dispatchers")
        assert "a worker serves them" in found(report["ok"], "commands")
        rows: list[dict[str, Any]] = []

        def consumed() -> bool:
            rows[:] = json.loads(cli("proj", "queues", "--json").stdout)
            return all(row["consumers"] for row in rows)

        wait_until(consumed, description="the worker answers that it consumes every queue", timeout=READY)
        assert [row["partition"] for row in rows] == ["0", "1", "command"]
        assert cli("proj", "send", "ada", "hi", "--flush").returncode == 0
        wait_until(
            lambda: json.loads(cli("proj", "stats", "--json").stdout)["handled"] == 1,
            description="the message is handled",
            timeout=READY,
        )


def test_the_commands_work_from_a_shell(cli: Cli) -> None:
    """Exit code, stdout and stderr of the real thing; several inboxes need a name."""
    sent = cli("proj", "send", "ada", "hi", "--json")
    assert (sent.returncode, json.loads(sent.stdout)["status"]) == (0, "accepted"), sent.stderr
    nobody = cli("proj", "peek", "nobody")
    assert (nobody.returncode, nobody.stdout, nobody.stderr) == (1, "", "session nobody has no messages\n")
    several = cli("two", "stats")
    assert several.returncode == 2
    assert "several inboxes, say --inbox with one of: cli-" in several.stderr
    assert cli("two", "stats", "--inbox", "second").returncode == 0
    assert cli("proj", "forget", "ada", "--yes").returncode == 0


# What --help says.


def every_command(group: Any = commands, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of each command, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*before, name)
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every_command(command, *before, name)


def help_of(*words: str) -> str:
    """The help of a command, as one line."""
    result = CliRunner().invoke(commands, [*words, "--help"])
    assert result.exit_code == 0
    return " ".join(result.stdout.split())


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_every_command_has_a_help_whose_first_sentence_fits(words: tuple[str, ...]) -> None:
    """In the list of its group no sentence is cut; every option says what it does."""
    context = click.Context(commands)
    command: Any = commands
    for word in words:
        command = command.get_command(context, word)
    assert not command.get_short_help_str().endswith("..."), command.get_short_help_str()
    assert help_of(*words)
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "Exit codes: 0 done, or healthy 1 there was nothing to do"),
        (("pause",), "Seconds, or with a unit: 90, 15m, 2h"),
        (("stats",), "upper bound in milliseconds"),
        (("sessions",), "Unix milliseconds"),
        (("check",), "Exits with 0 when there are no errors (warnings are allowed), 1 when there are, 3 when"),
        (("check",), "lease + dispatch_interval seconds"),
        (("queues",), "within a second"),
        (("dead", "purge"), "Exits with 1 when one is gone"),
        (("drop",), "Do not ask"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_help_says_units_and_exit_codes(words: tuple[str, ...], expected: str) -> None:
    """For a person who has nothing else."""
    assert expected in help_of(*words)


# How it looks.


def test_durations_and_instants_are_words_of_people() -> None:
    """From tenths of a second to days."""
    assert [duration(ms) for ms in (400, 12_000, 119_000, 180_000, 7_200_000, 200_000_000)] == [
        "0.4 s",
        "12 s",
        "119 s",
        "3 min",
        "2 h",
        "2 days",
    ]
    assert (away(1_400, 1_000), away(1_000, 13_000)) == ("in 0.4 s", "12 s ago")


def test_rich_draws_what_it_is_given_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that look like markup stay as they are; without rich the table is left to plain text."""
    assert by_rich(["SESSION"], [["[red]ada[/red]"]], set())
    assert "[red]ada[/red]" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "rich.table", None)
    assert not by_rich(["SESSION"], [["ada"]], set())
    assert capsys.readouterr().out == ""


def test_text_keeps_letters_and_shows_controls() -> None:
    """Any language, no escapes."""
    assert shown("жук 🐞") == "жук 🐞"
    assert shown("\r\x9b") == r"\r\x9b"
