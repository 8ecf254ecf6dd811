"""Which partition, digest and key a session has: every process, today and next year, must agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_inbox.element import encode_id
from celery_inbox.errors import InvalidSession
from celery_inbox.store.keys import (
    Address,
    address,
    command_address,
    digest_of,
    encode_session,
    home_of,
    inbox_prefix,
    partition_of,
    partition_of_letter,
    partition_prefix,
)
from celery_inbox.worker.queues import queue_name

VECTORS: list[tuple[str, int, int]] = [
    tuple(vector) for vector in json.loads((Path(__file__).parent / "partition_vectors.json").read_text())
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)

PRINT_PARTITIONS = """
import json, sys
from celery_inbox.store.keys import address
print(json.dumps([address(name, 32)[:2] for name in json.load(sys.stdin)]))
"""


def test_a_thousand_names_keep_their_partitions() -> None:
    """The table was made once from ``zlib.crc32``; a change would strand every session."""
    assert len(VECTORS) == 1000
    for name, crc, of_32 in VECTORS:
        assert partition_of(name.encode(), 2**32) == str(crc)
        assert address(name, 32).partition == str(of_32)


def test_the_hash_seed_of_a_process_does_not_matter() -> None:
    """``hash()`` would differ from worker to worker."""
    names = [name for name, _, _ in VECTORS[:100]]
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    command = [sys.executable, "-c", PRINT_PARTITIONS]
    printed = subprocess.check_output(command, input=json.dumps(names), env=environment, text=True)
    assert json.loads(printed) == [list(address(name, 32)[:2]) for name in names]


@pytest.mark.parametrize("form", ["user:{}", "{}", "telegram:-100{:010d}", "{:032x}"])
def test_sessions_spread_evenly(form: str) -> None:
    """Chi-square over 32 partitions: 31 degrees of freedom, 61.1 at one in a thousand."""
    many = 16_000
    found = Counter(partition_of(form.format(number).encode(), 32) for number in range(many))
    expected = many / 32
    assert set(found) == {str(partition) for partition in range(32)}
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 61.1


def test_digests_are_128_bits_of_blake2b() -> None:
    """Pinned: keys of running systems carry them."""
    assert digest_of(b"telegram:42") == blake2b(b"telegram:42", digest_size=16).hexdigest()
    assert digest_of(b"a") == "27c35e6e9373877f29e562464e46497e"
    assert len({digest_of(name.encode()) for name, _, _ in VECTORS}) == 1000


@pytest.mark.parametrize("partitions", [1, 5, 8, 12, 32, 4096])
def test_a_digest_tells_the_partition(partitions: int) -> None:
    """Keys of an idle session hold no name, and must be found a place when the number of partitions changes."""
    for name, _, _ in VECTORS:
        place = address(name, partitions)
        assert home_of(place.digest, partitions) == place.partition


def test_a_dead_letter_lies_with_its_session() -> None:
    """Whatever partition its batch was claimed in first; a command's lies with the commands."""
    assert partition_of_letter("7-1700", "a", 32) == address("a", 32).partition == "3"
    assert partition_of_letter("7-1700/2", "a", 5) == address("a", 5).partition
    assert partition_of_letter("command-1700", "a", 32) == "command"


def test_an_address_says_where() -> None:
    """Partition, digest, name."""
    assert address("a", 32) == Address("3", "27c35e6e9373877f29e562464e46497ee8b7be43", "a")
    assert address("a", 1).partition == "0"


@settings(max_examples=50, deadline=None)
@given(TEXT, TEXT, TEXT, TEXT)
def test_two_commands_have_two_addresses(session: str, id: str, other_session: str, other_id: str) -> None:
    """Session and encoded id cannot be read as another pair."""
    one = command_address(session, encode_id(id))
    other = command_address(other_session, encode_id(other_id))
    assert one.partition == "command"
    assert (one.digest == other.digest) == ((session, id) == (other_session, other_id))


def test_a_command_never_meets_a_session() -> None:
    """NUL in names and ids included."""
    assert command_address("a\0", encode_id("b")).digest != command_address("a", encode_id("\0b")).digest


def test_places_have_keys_of_their_own() -> None:
    """(namespace, inbox, partition) to prefix is one to one, dots or not; no prefix begins another key."""
    names, partitions = ["a", "a.1", "1", "a-1", "a.command", "command"], ["0", "1", "11", "command"]
    places = list(product(["n", "n.a", "n-1"], names, partitions))
    prefixes = [partition_prefix(*place) for place in places]
    configs = [f"{inbox_prefix(namespace, inbox)}:config" for namespace, inbox in product(["n", "n.a", "n-1"], names)]
    known = [
        (namespace, inbox, partition)
        for namespace, inbox, partition in places
        if not any(inbox == f"{other}.{number}" for other in names for number in partitions)
    ]
    assert len({partition_prefix(*place) for place in known}) == len(known)
    assert not set(configs) & {f"{prefix}:{room}" for prefix in prefixes for room in ("due", "state", "config-less")}
    assert not [config for config in configs if config in prefixes]


def test_a_partition_is_one_slot_of_a_cluster() -> None:
    """The braces hold inbox and partition, and nothing else has braces."""
    prefix = partition_prefix("celery-inbox", "chat", "7")
    assert prefix == "celery-inbox:1:{chat.7}"
    assert prefix.count("{") == prefix.count("}") == 1


@pytest.mark.parametrize(
    ("session", "said"),
    [
        ("", "0 UTF-8 bytes"),
        ("x" * 513, "513 UTF-8 bytes"),
        ("ü" * 257, "514 UTF-8 bytes"),
        (None, "NoneType"),
        (42, "int"),
        (b"bytes", "bytes"),
        ("\ud800", "surrogate"),
    ],
)
def test_a_session_that_cannot_be_used_is_refused(session: Any, said: str) -> None:
    """By name, with the value's fault, as a ``ValueError`` too."""
    with pytest.raises(InvalidSession, match=said) as refused:
        address(session, 32)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("session", ["x", "x" * 512, "ü" * 256, "\0", " ", "a\nb", "{}"])
def test_any_other_text_is_a_session(session: str) -> None:
    """1 to 512 bytes of UTF-8."""
    assert encode_session(session).decode() == session


NAMESPACES = st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True) | st.sampled_from(["prod", "prod2", "a", "a.1"])
INBOXES = NAMESPACES | st.sampled_from(["chat", "chat.1", "chat.command", "1", "command"])
SESSIONS = TEXT | st.sampled_from(["a:b", "a", "b:c", "c", "a\0", "a{b}", "*", "%3A"])
PLACES = st.tuples(NAMESPACES, INBOXES, SESSIONS, st.sampled_from([1, 2, 32]))
ROOMS = ("s", "w", "b", "ids", "window", "rest", "pause")


def keys_of(namespace: str, inbox: str, session: str, partitions: int) -> set[str]:
    """Every key that is this session's own, commands apart."""
    place = address(session, partitions)
    prefix = partition_prefix(namespace, inbox, place.partition)
    return {f"{prefix}:{room}:{place.digest}" for room in ROOMS}


@settings(max_examples=300, deadline=None)
@given(PLACES, PLACES)
def test_two_sessions_never_share_a_key(one: tuple[str, str, str, int], other: tuple[str, str, str, int]) -> None:
    """SEC-1: of other namespaces, inboxes or names, however they are joined: "a:b" + "c", "a" + "b:c"; prod, prod2."""
    shared = keys_of(*one) & keys_of(*other)
    assert bool(shared) == (one[:3] == other[:3] and address(*one[2:]).partition == address(*other[2:]).partition)


@settings(max_examples=300, deadline=None)
@given(
    INBOXES, INBOXES, st.integers(0, 31).map(str) | st.just("command"), st.integers(0, 31).map(str) | st.just("command")
)
def test_two_partitions_never_share_a_queue(one: str, other: str, here: str, there: str) -> None:
    """SEC-1: the last dot divides, for no partition has one: "chat.1" and its 2 are not "chat" and any of its own."""
    assert (queue_name(one, here) == queue_name(other, there)) == ((one, here) == (other, there))
    assert queue_name(one, here).rpartition(".")[::2] == (one, here)
