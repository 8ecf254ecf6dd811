"""Elements: what goes in comes back equal, and what is foreign is recognised."""

from __future__ import annotations

import datetime
import decimal
import json
import sys
import traceback
import uuid
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.exceptions import SerializerNotInstalled
from kombu.serialization import dumps, register, unregister

from celery_inbox.element import (
    MAX_DEPTH,
    Codec,
    CorruptElement,
    Header,
    NewerElement,
    decode_id,
    encode_id,
    pack,
    unpack,
)
from celery_inbox.errors import ConfigurationError, InvalidMessage, MessageTooLarge

SURROGATES = st.lists(st.sampled_from(["\ud83d", "\ude00", "a"]), max_size=3).map("".join)
TEXT = st.text(max_size=20) | SURROGATES
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
BODIES = st.recursive(
    LEAVES | st.binary(max_size=5) | st.tuples(LEAVES) | st.sets(st.integers(), max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.integers() | st.just("__type__"), inner, max_size=4)
    ),
    max_leaves=6,
)
HEADERS = st.builds(
    Header,
    kind=st.sampled_from(["m", "c"]),
    flags=st.sampled_from(["a", "-", "ah", "h", "ra"]),
    at=st.integers(0, 10**15 - 1),
    size=st.integers(0, 10**9),
    key=st.sampled_from(["-", "8c0f", "0-1700000000000"]),
    id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).map(encode_id),
)
JSON = Codec("json", 1 << 20)
UNHURRIED = settings(deadline=None, max_examples=50)


def round_trip(codec: Codec, body: Any, headers: dict[str, Any] | None = None) -> Any:
    payload = codec.encode(body, headers)
    return codec.decode(pack(Header("m", "h" if headers else "a", 1, len(payload), "-", "id"), payload))


def ascii_of(value: Any) -> str:
    """Name a case; a very long number has no text."""
    return "a huge number" if isinstance(value, int) and value > 10**4_000 else ascii(value)


@UNHURRIED
@given(BODIES)
def test_a_body_comes_back_equal_or_is_refused(body: Any) -> None:
    """Nothing is changed in silence."""
    try:
        message = round_trip(JSON, body)
    except InvalidMessage:
        return
    assert message.body == body
    assert type(message.body) is type(body)


@pytest.mark.parametrize(
    "body",
    [
        None,
        True,
        0,
        -1.5,
        10**30,
        "",
        "\0",
        "ü🐇",
        [],
        {},
        {"a": [1, {"b": None}]},
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 2),
        uuid.UUID(int=7),
        decimal.Decimal("1.10"),
        {"type": "__type__", "at": [datetime.date(2026, 1, 2)]},
    ],
    ids=repr,
)
def test_bodies_that_people_send_come_back(body: Any) -> None:
    """Plain JSON, and what kombu adds to it."""
    assert round_trip(JSON, body).body == body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (float("nan"), "JSON"),
        ([float("inf")], "JSON"),
        ((1, 2), "pass list"),
        ([{"a": (1,)}], "pass list"),
        ({1: "a"}, "pass str"),
        ({"a": {None: 1}}, "pass str"),
        ({"__type__": "nobody", "__value__": 1}, "serializer"),
        ({"__type__": "uuid", "__value__": {"hex": "0" * 32, "version": 4}}, "equal"),
        ({"__type__": "datetime", "__value__": "canary"}, "cannot be read"),
        (["\ud83d\ude00 canary"], "surrogates"),
        ("\ud83d\ude00", "surrogates"),
        ({"\ud83d\ude00": "canary"}, "surrogates"),
        ({b"canary": 1}, "pass str"),
        ({("canary",): 1}, "pass str"),
        (object(), "serializer"),
        ({"a": lambda: None}, "serializer"),
        ({"canary": {"canary"}}, "pass list"),
        (10**5_000, "digits"),
        (decimal.Decimal("nan"), "changes"),
        (datetime.timedelta(1), "timedelta"),
    ],
    ids=lambda value: ascii_of(value).partition(" at 0x")[0],
)
def test_bodies_that_would_change_are_refused(body: Any, said: str) -> None:
    """The error says what is wrong and, where it is known, what to pass instead; neither it nor its cause quotes."""
    with pytest.raises(InvalidMessage, match=said) as refused:
        JSON.encode(body)
    assert "canary" not in "".join(traceback.format_exception(refused.value, chain=True, limit=0))


@pytest.mark.parametrize("text", ["\ud83d", "\ude00\ud83d", {"a": "\ud83d"}, {"\ude00": "😀 한국어"}], ids=ascii)
def test_lone_surrogates_come_back_alone(text: Any) -> None:
    """Only a pair of them would join."""
    assert round_trip(JSON, text).body == text


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value] if levels % 2 else {"a": value}
    return value


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1_000, 10_000])
def test_bodies_that_are_nested_too_deep_are_refused(levels: int) -> None:
    """Not by a crash."""
    with pytest.raises(InvalidMessage):
        JSON.encode(nested(levels))


def test_the_deepest_body_can_be_read_in_a_deep_stack() -> None:
    """A sender with a shallow stack must not store what its worker would take for corrupt."""
    payload = JSON.encode(nested(MAX_DEPTH))
    element = pack(Header("m", "a", 1, len(payload), "-", "id"), payload)

    def deeper(frames: int) -> Any:
        return deeper(frames - 1) if frames else JSON.decode(element).body

    assert deeper(sys.getrecursionlimit() - 400) == nested(MAX_DEPTH)


def test_a_body_that_holds_itself_is_refused() -> None:
    """Circular."""
    body: list[Any] = []
    body.append(body)
    with pytest.raises(InvalidMessage):
        JSON.encode(body)


def test_headers_travel_beside_the_body() -> None:
    """Under the flag ``h``; a body that is a list of two is not taken for it."""
    message = round_trip(JSON, {"text": "hi"}, {"chat": 42})
    assert (message.body, message.headers) == ({"text": "hi"}, {"chat": 42})
    assert round_trip(JSON, [{}, "x"]).headers == {}
    for headers in (["a"], [], "", 0):
        with pytest.raises(InvalidMessage, match="headers are a dict"):
            JSON.encode("body", headers)  # type: ignore[arg-type]


def test_a_message_that_is_too_large_states_its_size_and_the_limit() -> None:
    """Exactly the limit is not too large."""
    codec = Codec("json", 10)
    assert codec.encode("x" * 8) == b'"xxxxxxxx"'
    with pytest.raises(MessageTooLarge, match=r"11 bytes.*10") as refused:
        codec.encode("x" * 9)
    assert (refused.value.size, refused.value.limit) == (11, 10)
    assert isinstance(refused.value, InvalidMessage)


@pytest.mark.parametrize("serializer", ["pickle", "application/x-python-serialize", "nobody", "", None])
def test_a_serializer_that_cannot_be_used_is_refused(serializer: Any) -> None:
    """Pickle runs code; of the others the error lists those that are registered."""
    with pytest.raises(ConfigurationError, match="json") as refused:
        Codec(serializer, 10)
    assert repr(serializer) in str(refused.value)
    assert "'pickle'" in str(refused.value) or "pickle" not in str(refused.value)


def test_another_serializer_of_kombu_s_registry_works() -> None:
    """Text or bytes; what it changes is refused as with JSON."""
    register("test", lambda value: json.dumps(value, indent=1), json.loads, "application/x-test", "utf-8")
    try:
        codec = Codec("test", 1 << 20)
        assert round_trip(codec, {"text": "ü", "n": [1, 2.5, None]}).body == {"text": "ü", "n": [1, 2.5, None]}
        with pytest.raises(InvalidMessage, match="pass str"):
            codec.encode({1: 2})
    finally:
        unregister("test")


@pytest.mark.parametrize("serializer", ["yaml", "msgpack"])
def test_a_serializer_that_is_not_installed_is_refused_at_once(serializer: str) -> None:
    """Not with the first send."""
    try:
        dumps("", serializer=serializer)
    except SerializerNotInstalled:
        with pytest.raises(ConfigurationError, match=serializer):
            Codec(serializer, 10)
    else:
        assert Codec(serializer, 10).encode("a")


@UNHURRIED
@given(HEADERS, st.binary(max_size=50))
def test_a_header_comes_back(header: Header, payload: bytes) -> None:
    """Whatever the payload holds."""
    assert unpack(pack(header, payload)) == (header, payload)


@UNHURRIED
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_an_id_comes_back(id: str) -> None:
    """As visible ASCII in between, so that it is one word of the header."""
    encoded = encode_id(id)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert " " not in encoded
    assert decode_id(encoded) == id


@pytest.mark.parametrize("id", ["", "x" * 513, "ü" * 257, None, 42, b"id", "\ud800"])
def test_an_id_that_cannot_be_used_is_refused(id: Any) -> None:
    """Text of 1 to 512 bytes."""
    with pytest.raises(InvalidMessage):
        encode_id(id)


@pytest.mark.parametrize("element", [b"2 ", b"2 whatever", b"10 m a 1 2 - id {}", b"999 \xff"])
def test_a_newer_version_is_told_from_damage(element: bytes) -> None:
    """It is to stay where it is."""
    with pytest.raises(NewerElement):
        unpack(element)
    with pytest.raises(NewerElement):
        JSON.decode(element)


@pytest.mark.parametrize(
    "element",
    [
        b"",
        b"1",
        b"2",
        b"hello",
        b"01 m a 1 2 - id {}",
        b"1 m a 1 2 - id",
        b"1 x a 1 2 - id {}",
        b"1 m A 1 2 - id {}",
        b"1 m a -1 2 - id {}",
        b"1 m a 1.5 2 - id {}",
        b"1 m a 1 2 -  {}",
        b"1 m a 1 2 - i\xffd {}",
        b"1 m a 1 2 - i\td {}",
        b"1 m a 1 2 - id {",
        b"1 m a 1 2 - id \xff",
        b"1 m h 1 2 - id 5",
        b"1 m a " + b"9" * 5_000 + b" 2 - id {}",
        b"9" * 5_000 + b" m a 1 2 - id {}",
        b"1 m a 1 2 - id " + b"[" * 100_000,
    ],
    ids=lambda element: repr(element[:30]),
)
def test_damage_is_recognised(element: bytes) -> None:
    """By one name, whatever is broken."""
    with pytest.raises(CorruptElement):
        JSON.decode(element)


@UNHURRIED
@given(st.binary(max_size=80) | st.builds(lambda rest: b"1 m a 1 2 - id " + rest, st.binary(max_size=40)))
def test_bytes_of_another_hand_raise_nothing_else(element: bytes) -> None:
    """A worker that reads them sets them aside; any other exception would kill its batch."""
    with suppress(CorruptElement, NewerElement):
        assert JSON.decode(element).id
