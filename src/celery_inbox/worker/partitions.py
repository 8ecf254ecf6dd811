"""Which partitions a worker serves: reads what ``--inbox`` says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from celery_inbox.errors import ConfigurationError
from celery_inbox.store.keys import COMMAND_PARTITION

RANGE = re.compile(r"(\d+)(?:-(\d+))?")
AUTO = "auto"
"""Stands for the numbered partitions that a worker gets as its share."""
USAGE = "say auto, all, command, numbers such as 0-3,7, or name an inbox as in chat=0-3"


def all_partitions(partitions: int) -> list[str]:
    """Every numbered partition."""
    return [str(number) for number in range(partitions)]


def parse(words: Iterable[str], inboxes: Mapping[str, int]) -> dict[str, list[str]]:
    """Read the words of ``--inbox`` or ``CELERY_INBOX``.

    Args:
        words: ``[<inbox>=]<item>,<item>…`` each; an item is ``auto``, ``all``, ``command``, ``<n>`` or ``<n>-<n>``.
        inboxes: Number of partitions by inbox name; words without a name mean every inbox.

    Returns:
        Partitions by inbox name, in order, without repeats, ``auto`` as it is; inboxes that are not meant are missing.

    Raises:
        ConfigurationError: A word cannot be read, or names an inbox or a partition that does not exist.
    """
    served: dict[str, list[str]] = {}
    for word in words:
        name, equals, items = word.rpartition("=")
        if equals and name not in inboxes:
            known = ", ".join(sorted(inboxes)) or "none"
            raise ConfigurationError(f"--inbox {word}: this app has no inbox {name!r}; it has: {known}")
        for inbox in [name] if equals else inboxes:
            wanted = [partition for item in items.split(",") for partition in _item(word, item.strip(), inboxes[inbox])]
            served[inbox] = list(dict.fromkeys([*served.get(inbox, []), *wanted]))
    return served


def _item(word: str, item: str, partitions: int) -> list[str]:
    if item == "all":
        return all_partitions(partitions)
    if item in (AUTO, COMMAND_PARTITION):
        return [item]
    numbers = RANGE.fullmatch(item)
    if numbers is None:
        raise ConfigurationError(f"--inbox {word}: cannot read {item!r}; {USAGE}")
    first, last = int(numbers[1]), int(numbers[2] or numbers[1])
    if first > last or last >= partitions:
        raise ConfigurationError(f"--inbox {word}: {item} is not within the partitions 0-{partitions - 1}")
    return [str(number) for number in range(first, last + 1)]
