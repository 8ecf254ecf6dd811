"""Can kicks travel: is there a broker, of what kind, with which settings?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery_inbox.cli.broker import BrokerAway, connected
from celery_inbox.cli.findings.report import Section
from celery_inbox.cli.times import duration
from celery_inbox.errors import ConfigurationError
from celery_inbox.inbox import Inbox
from celery_inbox.store.place import without_password

SUPPORTED = {"redis": "Redis", "amqp": "RabbitMQ"}


def look_at_broker(app: Any, inboxes: Iterable[Inbox], section: Section) -> None:
    """Report on the broker, and on what the app says of it."""
    if app.conf.task_always_eager:
        section.warn(
            "eager",
            "task_always_eager is set: this process handles sends in place and uses neither Redis nor workers",
            "unset it outside of tests",
        )
    look_at_visibility(app, inboxes, section)
    try:
        with app.connection_for_read() as connection:
            kind = connection.transport.driver_type
            address = without_password(connection.as_uri())
    except Exception as error:
        section.error("broker", f"broker_url cannot be used: {type(error).__name__}: {error}", "set broker_url")
        return
    if kind == "memory":
        section.error("broker", f"{address} lives in one process: no kick reaches a worker", "set broker_url")
        return
    try:
        with connected(app):
            pass
    except BrokerAway as error:
        section.error("broker", f"{address} did not answer: {error}", "start it, or set broker_url to where it is")
        return
    if kind in SUPPORTED:
        section.ok("broker", f"{SUPPORTED[kind]} at {address} answers")
    else:
        section.warn("broker", f"{address} answers, but nobody has tested {kind}", "use Redis or RabbitMQ")


def look_at_visibility(app: Any, inboxes: Iterable[Inbox], section: Section) -> None:
    """Report a redelivery before the longest run is over."""
    visibility = (app.conf.broker_transport_options or {}).get("visibility_timeout")
    longest = max((longest_run(inbox) for inbox in inboxes), default=0.0)
    if visibility is None or float(visibility) >= longest:
        return
    late = " With task_acks_late the app's other tasks that run longer are started twice." * bool(
        app.conf.task_acks_late
    )
    section.warn(
        "broker",
        f"visibility_timeout={float(visibility):g} s is less than the longest run, {duration(longest * 1000)}: "
        f"kicks that wait behind one are delivered again, which is harmless and costs a look.{late}",
        "leave visibility_timeout at its default, recovery does not need it",
    )


def longest_run(inbox: Inbox) -> float:
    """Seconds that a handler of the inbox may run at most."""
    try:
        return max((task.max_run for task in inbox.handlers.values()), default=0.0)
    except ConfigurationError:
        return 0.0
