"""Settings of one inbox: where they come from, what they may be, and when they disagree."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from celery_inbox.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
PREFIX = "inbox_"
DAY = 86_400.0
MOST_PARTITIONS = 4096

Predicate: TypeAlias = Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one inbox.

    A keyword of ``Inbox`` wins over ``app.conf.inbox_settings[name]``, which wins over ``app.conf.inbox_<setting>``,
    which wins over the default.
    """

    redis_url: str | None = None
    """Where sessions live; None: ``broker_url`` when that is Redis."""
    namespace: str = "celery-inbox"
    """First part of every key: letters, digits, ``_ . -``, at most 100 characters."""
    debounce: float | Callable[[str], float] = 1.0
    """Seconds without a new active message before the batch is due, or a callable on the session's name that says them;
    0 = at once; at most ``max_wait``."""
    max_wait: float | Callable[[str], float] = 10.0
    """Longest wait of the oldest waiting message before its batch is due, seconds; or a callable as for debounce."""
    max_batch: int = 100
    """Most messages of a batch, 1 to 1000."""
    max_bytes: int = 1 << 20
    """Most encoded bytes of a batch; a single larger message travels alone."""
    max_pending: int = 10_000
    """Most waiting messages of a session; at least ``max_batch``."""
    max_pending_bytes: int = 16 << 20
    """Most encoded bytes that wait in a session; at least ``max_message_bytes``."""
    overflow: Literal["reject", "drop_oldest"] = "reject"
    """What a send to a full session does: raise ``InboxFull``, or discard the oldest waiting messages."""
    max_message_bytes: int = 256 << 10
    """Most encoded bytes of one body with its headers."""
    dedup_ttl: float = DAY
    """Seconds for which a caller's message id is remembered after it was accepted."""
    max_ids: int = 10_000
    """Most remembered ids of a session; the oldest go first."""
    lease: float = 30.0
    """Seconds after which a claim ends unless renewed; renewed every third of it."""
    dispatch_interval: float = 1.0
    """Longest sleep of a dispatcher, seconds; at most ``lease``."""
    max_run: float = 3600.0
    """Seconds after which a run is no longer renewed; a handler's hard time limit takes its place."""
    max_dead: int = 10_000
    """Most dead letters of the inbox; the oldest go first."""
    partitions: int = 32
    """Slices of sessions, 1 to 4096; recorded in Redis."""
    active_window: float | None = None
    """Seconds after an active message in which inactive ones are stored; None: always."""
    is_command: str | Predicate | None = None
    """A prefix of text bodies, or a callable on the body, that tells commands from messages."""
    command_order: Literal["jump", "in_line"] = "jump"
    """``jump``: commands are handled at once, outside the batches; ``in_line``: in their place among the messages."""
    flush_when: Predicate | None = None
    """A callable on the body: true makes the message and those before it due now."""
    batch_key: Callable[[Any], Any] | None = None
    """A callable on the body: only neighbours with equal keys share a batch."""
    min_interval: float = 0.0
    """Least seconds from one batch's start to the next one's start in a session."""
    serializer: str = "json"
    """One of kombu's serializers, the same for every process; never pickle."""
    socket_timeout: float = 2.0
    """Bound on any call of a producer, seconds."""

    def __post_init__(self) -> None:
        for name, low, high in RANGES:
            value = getattr(self, name)
            if (value is None and name == "active_window") or (callable(value) and name in PER_SESSION):
                continue
            integer = name in INTEGERS
            if (
                isinstance(value, bool)
                or not isinstance(value, int if integer else (int, float))
                or not low <= value <= high
            ):
                kind = "a whole number" if integer else "a number"
                raise ConfigurationError(f"{name}={value!r} is not {kind} from {low:.15g} to {high:.15g}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(f"{name}={getattr(self, name)!r} is none of {', '.join(map(repr, choices))}")
        for name in ("flush_when", "batch_key"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise ConfigurationError(f"{name}={getattr(self, name)!r} is not a callable on the body")
        if not (self.is_command is None or self.is_command or callable(self.is_command)):
            raise ConfigurationError("is_command='' would make every text a command: name a prefix, a callable or None")
        if not (self.is_command is None or isinstance(self.is_command, str) or callable(self.is_command)):
            raise ConfigurationError(f"is_command={self.is_command!r} is neither a prefix nor a callable on the body")
        if not NAME.fullmatch(self.namespace):
            raise ConfigurationError(
                f"namespace={self.namespace!r} may hold letters, digits, '_', '.', '-', 1 to 100 of them"
            )
        for smaller, larger in ORDERED:
            low_value, high_value = getattr(self, smaller), getattr(self, larger)
            if callable(low_value) or callable(high_value):
                continue
            if low_value > high_value:
                raise ConfigurationError(
                    f"{smaller}={low_value:.15g} is greater than {larger}={high_value:.15g}: change one of them"
                )


RANGES: list[tuple[str, float, float]] = [
    ("debounce", 0, DAY * 30),
    ("max_wait", 0, DAY * 30),
    ("max_batch", 1, 1000),
    ("max_bytes", 1, 64 << 20),
    ("max_pending", 1, 10_000_000),
    ("max_pending_bytes", 1, 1 << 40),
    ("max_message_bytes", 1, 64 << 20),
    ("dedup_ttl", 1, DAY * 365),
    ("max_ids", 1, 1_000_000),
    ("lease", 0.1, DAY),
    ("dispatch_interval", 0.01, DAY),
    ("max_run", 1, DAY * 30),
    ("max_dead", 1, 10_000_000),
    ("partitions", 1, MOST_PARTITIONS),
    ("active_window", 0, DAY * 365),
    ("min_interval", 0, DAY * 30),
    ("socket_timeout", 0.05, 600),
]
INTEGERS = {
    "max_batch",
    "max_bytes",
    "max_pending",
    "max_pending_bytes",
    "max_message_bytes",
    "max_ids",
    "max_dead",
    "partitions",
}
CHOICES: dict[str, tuple[str, ...]] = {
    "overflow": ("reject", "drop_oldest"),
    "command_order": ("jump", "in_line"),
}
PER_SESSION = ("debounce", "max_wait")
ORDERED = [
    ("debounce", "max_wait"),
    ("max_batch", "max_pending"),
    ("max_message_bytes", "max_pending_bytes"),
    ("dispatch_interval", "lease"),
]
NAMES = frozenset(field.name for field in fields(Settings))


def check_name(name: str) -> str:
    """Return an inbox name that can stand in keys and queue names.

    Raises:
        ConfigurationError: It cannot.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigurationError(f"inbox name {name!r} may hold letters, digits, '_', '.', '-', 1 to 100 of them")
    return name


def check_known(names: Mapping[str, Any], where: str) -> None:
    """Refuse names that are no settings.

    Raises:
        ConfigurationError: Names the unknown one and the nearest known one.
    """
    for name in names:
        if name not in NAMES:
            near = get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(NAMES))}"
            raise ConfigurationError(f"unknown inbox setting {name!r} in {where}; {hint}")


def from_app(conf: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read what ``app.conf`` says about the inbox called name.

    Raises:
        ConfigurationError: It holds an unknown ``inbox_…`` setting.
    """
    # ``config_from_object(…, namespace="CELERY")`` keeps its keys as CELERY_INBOX_DEBOUNCE.
    namespace = (getattr(conf, "prefix", None) or "").lower()
    keys = {key.lower().removeprefix(namespace): key for key in conf if isinstance(key, str)}
    shared = {
        name[len(PREFIX) :]: conf[key]
        for name, key in keys.items()
        if name.startswith(PREFIX) and name != "inbox_settings"
    }
    check_known(shared, "app.conf")
    own = (conf.get("inbox_settings") or {}).get(name, {})
    check_known(own, f"app.conf.inbox_settings[{name!r}]")
    return {**shared, **own}


def resolve(name: str, keywords: Mapping[str, Any], conf: Mapping[str, Any]) -> Settings:
    """Merge defaults, ``app.conf`` and keywords into the settings of one inbox.

    Raises:
        ConfigurationError: A setting is unknown, out of range, or at odds with another.
    """
    return Settings(**{**from_app(conf, name), **keywords})


def ms(seconds: float) -> int:
    """Convert a duration to whole milliseconds: the one place where seconds end."""
    return round(seconds * 1000)


def check_waits(debounce: float, max_wait: float) -> None:
    """Check what callables said of one session.

    Raises:
        ConfigurationError: One is out of range, or the debounce is greater than max_wait.
    """
    Settings(debounce=debounce, max_wait=max_wait)


CHAT = {"debounce": 1.0, "max_wait": 10.0, "active_window": 60.0}
"""Settings for group chats, as in ``Inbox(app, "chat", **CHAT)``: a second's lull, ten seconds at most, and lines that
do not address the bot count for a minute after one that did."""
