"""Do the settings of an inbox resolve, agree with each other, and suit its handlers?"""

from __future__ import annotations

from typing import Any

from celery_inbox.cli.findings.report import Section
from celery_inbox.cli.times import duration
from celery_inbox.element import COMMAND, MESSAGE
from celery_inbox.errors import ConfigurationError
from celery_inbox.inbox import Inbox
from celery_inbox.settings import Settings

DEDUP_FACTOR = 10


def look_at_settings(inbox: Inbox, section: Section) -> bool:
    """Report on settings and handlers; False when there are no settings to go on with."""
    try:
        settings = inbox.settings
    except ConfigurationError as error:
        section.error("settings", str(error), "change app.conf or the keywords of Inbox")
        return False
    look_for_contradictions(settings, section)
    look_at_handlers(inbox, section)
    return True


def look_for_contradictions(settings: Settings, section: Section) -> None:
    """Report pairs of settings of which one defeats the other."""
    before = len(section.report.warnings)
    if not callable(settings.max_wait):
        if settings.dedup_ttl < DEDUP_FACTOR * settings.max_wait:
            section.warn(
                "settings",
                f"dedup_ttl={settings.dedup_ttl:g} s is below {DEDUP_FACTOR} times max_wait={settings.max_wait:g} s: "
                "an id may be forgotten while its sender still retries",
                f"set dedup_ttl to {DEDUP_FACTOR * settings.max_wait:g} or more",
            )
        if settings.min_interval > settings.max_wait:
            section.warn(
                "settings",
                f"min_interval={settings.min_interval:g} s is more than max_wait={settings.max_wait:g} s: "
                "a batch may start later than max_wait allows",
                "lower min_interval or raise max_wait",
            )
    if settings.lease < 3 * settings.socket_timeout:
        section.warn(
            "settings",
            f"lease={settings.lease:g} s is less than 3 times socket_timeout={settings.socket_timeout:g} s: "
            "one slow answer of Redis can cost a lease",
            f"set lease to {3 * settings.socket_timeout:g} or more, or lower socket_timeout",
        )
    if settings.lease > settings.max_run:
        section.warn(
            "settings",
            f"lease={settings.lease:g} s is more than max_run={settings.max_run:g} s: "
            "a hung run holds its session so long",
            "lower lease or raise max_run",
        )
    if len(section.report.warnings) == before:
        section.ok("settings", summary(settings))


def summary(settings: Settings) -> str:
    """The settings that people ask for first."""
    waits = [
        f"{name} {'by session' if callable(value) else f'{value:g} s'}"
        for name, value in (("debounce", settings.debounce), ("max_wait", settings.max_wait))
    ]
    return f"{', '.join(waits)}, lease {settings.lease:g} s, {settings.partitions} partitions"


def look_at_handlers(inbox: Inbox, section: Section) -> None:
    """Report missing handlers, and time limits that do not suit the lease."""
    if MESSAGE not in inbox.handlers:
        section.error(
            "handlers",
            "no batch handler: messages are accepted and nobody handles them",
            "decorate a function with @inbox.handler in a module that the app imports",
        )
    if inbox.settings.is_command is not None and COMMAND not in inbox.handlers:
        section.error(
            "handlers",
            "is_command is set, but there is no command handler: commands are accepted and nobody handles them",
            "decorate a function with @inbox.command_handler, or set is_command to None",
        )
    for task in inbox.handlers.values():
        look_at_limits(task, inbox.settings, section)


def look_at_limits(task: Any, settings: Settings, section: Section) -> None:
    """Report on the time limits of one handler."""
    hard = task.time_limit or task.app.conf.task_time_limit
    soft = task.soft_time_limit or task.app.conf.task_soft_time_limit
    if hard and soft and soft >= hard:
        section.warn(
            "handlers",
            f"{task.name} has soft_time_limit={soft:g} s and time_limit={hard:g} s: it is killed before it is warned",
            "set soft_time_limit below time_limit",
        )
    elif hard and hard < settings.lease:
        section.warn(
            "handlers",
            f"{task.name} is killed after time_limit={hard:g} s, its lease of {settings.lease:g} s outlives it: "
            "a killed batch is tried again only when the lease ends",
            f"set lease to {hard:g} or less, or raise time_limit",
        )
    else:
        limit = (
            f"killed after {duration(hard * 1000)}" if hard else f"no time limit, held {duration(task.max_run * 1000)}"
        )
        section.ok("handlers", f"{task.name}: {limit}{' at most' if not hard else ''}")
