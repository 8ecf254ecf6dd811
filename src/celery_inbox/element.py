"""How a message lies in Redis: a short ASCII header, then the encoded body.

    1 m a 1764000000000 17 - 8c0f {"text": "hello"}
    │ │ │ │             │  │ │    └ payload: the body, or [headers, body] under flag h
    │ │ │ │             │  │ └ id, percent-encoded
    │ │ │ │             │  └ digest of the batch key, or -
    │ │ │ │             └ size of the payload in bytes
    │ │ │ └ arrival, Unix ms by Redis's clock
    │ │ └ flags: a active, h headers, r redriven, or -
    │ └ kind: m message, c command
    └ version

Lua cuts a batch by the header alone; only Python reads the payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote

from kombu.serialization import dumps, loads
from kombu.serialization import registry as serializers

from celery_inbox.errors import ConfigurationError, InvalidMessage, MessageTooLarge
from celery_inbox.message import Message

VERSION = 1
MAX_ID_BYTES = 512
MAX_DEPTH = 100

Kind = Literal["m", "c"]
MESSAGE: Kind = "m"
COMMAND: Kind = "c"


class NewerElement(Exception):
    """A later version of celery-inbox wrote this element; it stays where it is."""


class CorruptElement(Exception):
    """The bytes are no element of ours."""


@dataclass(frozen=True, slots=True)
class Header:
    """What Lua and the in-memory store know of a message."""

    kind: Kind
    flags: str
    at: int
    size: int
    key: str
    id: str

    @property
    def active(self) -> bool:
        return "a" in self.flags

    @property
    def redriven(self) -> bool:
        return "r" in self.flags


def pack(header: Header, payload: bytes) -> bytes:
    """Join a header and a payload into an element."""
    text = f"{VERSION} {header.kind} {header.flags} {header.at} {header.size} {header.key} {header.id} "
    return text.encode("ascii") + payload


def unpack(element: bytes) -> tuple[Header, bytes]:
    """Split an element into its header and payload.

    Raises:
        NewerElement: The version is not ours.
        CorruptElement: There is no header to read.
    """
    version, _, rest = element.partition(b" ")
    if version.isdigit() and int(version) != VERSION:
        raise NewerElement(version.decode())
    parts = rest.split(b" ", 6)
    if version != b"1" or len(parts) != 7:
        raise CorruptElement
    kind, flags, at, size, key, id, payload = parts
    if kind not in (b"m", b"c") or not at.isdigit() or not size.isdigit() or not (flags and key and id):
        raise CorruptElement
    try:
        return Header(kind.decode(), flags.decode(), int(at), int(size), key.decode(), id.decode()), payload  # type: ignore[arg-type]
    except UnicodeDecodeError:
        raise CorruptElement from None


def encode_id(id: str) -> str:
    """Percent-encode a caller's id for the header.

    Raises:
        InvalidMessage: The id is not text of 1 to 512 UTF-8 bytes.
    """
    if not isinstance(id, str):
        raise InvalidMessage(f"a message id is text of 1 to {MAX_ID_BYTES} bytes, not {type(id).__name__}: pass str(id)")
    if id.isascii() and id.isalnum() and len(id) <= MAX_ID_BYTES:
        return id
    try:
        size = len(id.encode())
    except UnicodeEncodeError:
        raise InvalidMessage("the message id holds a lone surrogate, which UTF-8 cannot store") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise InvalidMessage(f"the message id has {size} UTF-8 bytes, the limits are 1 and {MAX_ID_BYTES}: pass a digest of it")
    return quote(id, safe="")


def decode_id(id: str) -> str:
    """Return the id as the caller gave it."""
    return unquote(id)


class Codec:
    """Encode and decode bodies with one of kombu's serializers."""

    def __init__(self, serializer: str, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        if serializer == "pickle" or "python-serialize" in str(serializers.name_to_type.get(serializer)):
            raise ConfigurationError("serializer='pickle' would run code that anyone with access to Redis can store: use 'json'")
        if serializer not in serializers.name_to_type:
            known = ", ".join(sorted(set(serializers.name_to_type) - {"pickle"}))
            raise ConfigurationError(f"serializer={serializer!r} is not registered with kombu; registered are: {known}")
        self.serializer = serializer
        self.content_type = serializers.name_to_type[serializer]
        self.encoding = "binary" if serializer in ("msgpack", "raw") else "utf-8"

    def encode(self, body: Any, headers: dict[str, Any] | None) -> bytes:
        """Encode a body with its headers.

        Raises:
            InvalidMessage: A part would not come back as it was sent.
            MessageTooLarge: The result passes ``max_message_bytes``.
        """
        if headers and not isinstance(headers, dict):
            raise InvalidMessage(f"headers are a dict, not {type(headers).__name__}")
        value = [headers, body] if headers else body
        if self.serializer == "json":
            fault = unfaithful(value)
            if fault:
                raise InvalidMessage(f"the body cannot be sent as JSON and come back equal: {fault}")
        try:
            payload = dumps(value, serializer=self.serializer)[2]
            encoded = payload.encode() if isinstance(payload, str) else payload
        except Exception as error:
            raise InvalidMessage(f"the body cannot be encoded by serializer {self.serializer!r}: {error}") from error
        if len(encoded) > self.max_bytes:
            raise MessageTooLarge(len(encoded), self.max_bytes)
        return encoded

    def decode(self, element: bytes) -> Message:
        """Read an element back.

        Raises:
            NewerElement: The version is not ours.
            CorruptElement: The bytes cannot be read.
        """
        header, payload = unpack(element)
        try:
            value = loads(payload, self.content_type, self.encoding, accept=[self.content_type])
            headers, body = value if "h" in header.flags else ({}, value)
            return Message(decode_id(header.id), body, header.at, header.active, headers)
        except Exception as error:
            raise CorruptElement(str(error)) from error


def unfaithful(value: Any, depth: int = 0) -> str | None:
    """Say which part of a value JSON would change on the way, or None when it comes back equal.

    Values that are not plain JSON (dates, UUIDs, decimals) are left to kombu, which has its own encoding for them.
    """
    kind = type(value)
    if kind is str:
        return None if value.isascii() else surrogate(value)
    if kind in (int, bool) or value is None:
        return None
    if depth > MAX_DEPTH:
        return f"it is nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, float):
        return None if value == value and abs(value) != float("inf") else f"{value} is not JSON: send None or text"
    if isinstance(value, dict):
        if value.keys() == {"__type__", "__value__"}:
            return "kombu reads a dict of just '__type__' and '__value__' as a typed value: add another key"
        for key, item in value.items():
            if not isinstance(key, str):
                return f"the key {key!r} is {type(key).__name__}, JSON would make it text: pass str(key)"
            fault = unfaithful(key) or unfaithful(item, depth + 1)
            if fault:
                return fault
        return None
    if isinstance(value, list):
        return next((fault for item in value if (fault := unfaithful(item, depth + 1))), None)
    if isinstance(value, (tuple, set, frozenset)):
        return f"a {kind.__name__} would come back as a list: pass list(value)"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{kind.__name__} is not JSON: pass text, e.g. base64"
    return None


def surrogate(text: str) -> str | None:
    """Name the fault of text that UTF-8 cannot store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it holds a lone surrogate, which UTF-8 cannot store"
    return None
