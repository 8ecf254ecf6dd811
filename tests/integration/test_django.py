"""A Django project takes up an inbox in under ten lines, and `celery -A proj worker --inbox all` serves it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from celery_inbox.testing import History
from waiting import wait_until

from .follow import Follower

READY = 30.0  # seconds until a worker is ready
COMMAND = 60.0  # seconds for a management command

FILES = {
    "proj/__init__.py": """
        from .celery import app as celery_app

        __all__ = ("celery_app",)
    """,
    "proj/settings.py": """
        import os

        SECRET_KEY = "only for this test"
        INSTALLED_APPS = ["bot"]
        USE_TZ = True
        CELERY_BROKER_URL = os.environ["BROKER"]
        CELERY_INBOX_DEBOUNCE = 0.3
    """,
    "proj/celery.py": """
        import os

        from celery import Celery

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")
        app = Celery("proj")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.autodiscover_tasks()
    """,
    "bot/__init__.py": "",
    "bot/tasks.py": """
        import os

        from celery_inbox import Inbox
        from celery_inbox.testing import History

        inbox = Inbox("chat")
        history = History(os.environ["HISTORY"])

        @inbox.handler
        def reply(batch):
            with history.run(batch):
                pass
    """,
    "bot/management/__init__.py": "",
    "bot/management/commands/__init__.py": "",
    "bot/management/commands/say.py": """
        from django.core.management.base import BaseCommand

        from bot.tasks import history, inbox

        class Command(BaseCommand):
            def add_arguments(self, parser):
                parser.add_argument("session")
                parser.add_argument("texts", nargs="+")

            def handle(self, session, texts, **options):
                for text in texts:
                    history.sent(session, inbox.send(session, {"text": text}))
    """,
    "manage.py": """
        import os
        import sys

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")

        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    """,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the project."""
    for name, text in FILES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return tmp_path / "site"


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """What the processes of the project are given."""
    paths = [path for path in sys.path if path]
    return {
        **os.environ,
        "BROKER": redis_url,
        "HISTORY": str(tmp_path / "history"),
        "PYTHONPATH": os.pathsep.join([".", *paths]),
    }


@contextmanager
def worker(project: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run ``celery -A proj worker --inbox all`` until the block ends."""
    command = [sys.executable, "-m", "celery", "-A", "proj", "worker", "--inbox", "all", "-c", "1", "-l", "INFO"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "--without-mingle"], cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            wait_until(lambda: "ready." in log.read_text(), description="the worker is ready", timeout=READY)
            yield
        finally:
            process.terminate()
            process.wait()


def test_a_management_command_sends_and_the_worker_of_the_project_handles(
    project: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The Inbox lives in an autodiscovered tasks.py, bound to no app; settings come from Django's, with its prefix."""
    follower = Follower(History(environment["HISTORY"]))
    with worker(project, environment, tmp_path / "log"):
        say = [sys.executable, "manage.py", "say", "telegram:42", "hello", "are you there"]
        subprocess.run(say, cwd=project, env=environment, check=True, timeout=COMMAND)
        wait_until(lambda: follower.handled() == 2, description="the messages are handled", timeout=20)

    follower.report().assert_clean()
    [batch] = follower.runs()
    assert len(batch.messages) == 2
    assert batch.start.at - batch.messages[-1].at >= 300, "the debounce of Django's settings was not heard"
    log = (tmp_path / "log").read_text()
    assert "chat.31" in log
    assert ".> celery " not in log
    assert "Task bot.tasks.reply[" in log
    assert "Traceback" not in log


def test_taking_up_an_inbox_costs_under_ten_lines() -> None:
    """What a project that has Celery adds to its tasks, but for what this test records."""
    lines = [line for line in dedent(FILES["bot/tasks.py"]).splitlines() if line.strip() and "istory" not in line]
    assert len([*lines, "inbox.send(session, body)"]) < 10
