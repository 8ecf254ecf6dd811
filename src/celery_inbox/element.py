"""How a message lies in Redis: a short ASCII header, then the encoded body.

    1 m a 1764000000000 17 - 8c0f {"text": "hello"}
    │ │ │ │             │  │ │    └ payload: the body, or [headers, body] under flag h
    │ │ │ │             │  │ └ id, percent-encoded
    │ │ │ │             │  └ digest of the batch key, or -
    │ │ │ │             └ size of the payload in bytes
    │ │ │ └ arrival, Unix ms by Redis's clock
    │ │ └ flags: a active, h headers, r redriven, i isolated, p canary, or -
    │ └ kind: m message, c command
    └ version

Lua cuts a batch by the header alone; only Python reads the payload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import encoder as json_encoder
from json import scanner as json_scanner
from math import isfinite
from typing import Any, Literal
from urllib.parse import quote, unquote

from kombu.exceptions import SerializerNotInstalled
from kombu.serialization import dumps, loads
from kombu.serialization import registry as serializers
from kombu.utils.json import JSONEncoder, object_hook

from celery_inbox.errors import ConfigurationError, InvalidMessage, MessageTooLarge
from celery_inbox.message import Message

VERSION = 1
MAX_ID_BYTES = 512
MAX_DEPTH = 100
"""Levels of nesting: far below what a worker, whose stack is deeper than the sender's, can still decode."""
# The same patterns as in lua/include/element.lua; numbers that a double holds exactly.
ANY_VERSION = re.compile(rb"([1-9][0-9]{0,14}) ")
HEADER = re.compile(rb"1 [mc] [a-z-]+ [0-9]{1,15} [0-9]{1,15} [!-~]+ [!-~]+ ")

Dump = Callable[[Any], bytes]
Load = Callable[[bytes], Any]
Kind = Literal["m", "c"]
MESSAGE: Kind = "m"
COMMAND: Kind = "c"
CANARY = "ap"
"""Flags of an element that no handler sees: its worker proves that it consumes by claiming it."""
_CANARIES = (b"1 m ap ", b"1 c ap ")


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

    @property
    def isolated(self) -> bool:
        return "i" in self.flags


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
    (_, kind, flags, at, size, key, id, _), payload = words(element)
    return Header(kind, flags, int(at), int(size), key, id), payload  # type: ignore[arg-type]


def words(element: bytes) -> tuple[list[str], bytes]:
    """Split an element into the words of its header and its payload; raises as ``unpack``."""
    header = HEADER.match(element)
    if header:
        return header[0].decode("ascii").split(" "), element[header.end() :]
    version = ANY_VERSION.match(element)
    if version and int(version[1]) != VERSION:
        raise NewerElement(version[1].decode())
    raise CorruptElement


def encode_id(id: str) -> str:
    """Percent-encode a caller's id for the header.

    Raises:
        InvalidMessage: The id is not text of 1 to 512 UTF-8 bytes.
    """
    if not isinstance(id, str):
        raise InvalidMessage(
            f"a message id is text of 1 to {MAX_ID_BYTES} bytes, not {type(id).__name__}: pass str(id)"
        )
    if id.isascii() and id.isalnum() and len(id) <= MAX_ID_BYTES:
        return id
    try:
        size = len(id.encode())
    except UnicodeEncodeError:
        raise InvalidMessage("the message id holds a lone surrogate, which UTF-8 cannot store") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise InvalidMessage(
            f"the message id has {size} UTF-8 bytes, the limits are 1 and {MAX_ID_BYTES}: pass a digest of it"
        )
    return quote(id, safe="")


def decode_id(id: str) -> str:
    """Return the id as the caller gave it."""
    return unquote(id)


def is_canary(element: bytes) -> bool:
    """Is it for no handler?"""
    return element.startswith(_CANARIES)


class Codec:
    """Encode and decode bodies with one of kombu's serializers."""

    def __init__(self, serializer: str, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        known = {
            name for name, content_type in serializers.name_to_type.items() if "python-serialize" not in content_type
        }
        if serializer in set(serializers.name_to_type) - known:
            raise ConfigurationError(
                f"serializer={serializer!r} would run code that anyone with access to Redis can store: use 'json'"
            )
        if serializer not in known:
            raise ConfigurationError(
                f"serializer={serializer!r} is not registered with kombu; registered are: {', '.join(sorted(known))}"
            )
        self.serializer = serializer
        self._dump, self._load = plain_json() if serializer == "json" else registered(serializer)
        self._is_plain = is_flat if serializer == "json" else never
        try:
            self._dump("")
        except SerializerNotInstalled as error:
            raise ConfigurationError(f"serializer={serializer!r}: {error}") from error

    def encode(self, body: Any, headers: dict[str, Any] | None = None) -> bytes:
        """Encode a body with its headers.

        Raises:
            InvalidMessage: It cannot be encoded, or would not come back equal.
            MessageTooLarge: The result passes ``max_message_bytes``.
        """
        if headers is not None and not isinstance(headers, dict):
            raise InvalidMessage(f"headers are a dict, not {type(headers).__name__}")
        value = [headers, body] if headers else body
        encoded, fault = self._encoded(value)
        # Raised out here, for the errors of serializers quote what they were given.
        if fault is not None:
            raise InvalidMessage(fault)
        if len(encoded) > self.max_bytes:
            raise MessageTooLarge(len(encoded), self.max_bytes)
        return encoded

    def _encoded(self, value: Any) -> tuple[bytes, str | None]:
        """The value encoded, and why it cannot be sent so; no text of the value is in that."""
        try:
            encoded = self._dump(value)
        except Exception as error:
            fault = unfaithful(value) or (str(error) if self.serializer == "json" else type(error).__name__)
            return b"", f"the body cannot be sent with serializer {self.serializer!r}: {fault}"
        try:
            if self._is_plain(value, encoded) or self._load(encoded) == value:
                return encoded, None
            fault = unfaithful(value) or "it changes on the way"
        except Exception as error:
            fault = f"what it becomes cannot be read ({type(error).__name__})"
        return b"", f"the body would not come back equal from serializer {self.serializer!r}: {fault}"

    def decode(self, element: bytes) -> Message:
        """Read an element back.

        Raises:
            NewerElement: The version is not ours.
            CorruptElement: The bytes cannot be read.
        """
        (_, _, flags, at, _, _, id, _), payload = words(element)
        try:
            value = self._load(payload)
            headers, body = value if "h" in flags else ({}, value)
            return Message(decode_id(id), body, int(at), "a" in flags, headers)
        except Exception as error:
            raise CorruptElement(str(error)) from error


TYPE = "__type__"
"""Stands in every value for which kombu's JSON has a type of its own."""
FLAT = frozenset((str, int, bool, type(None)))
SURROGATE = b"\\ud"
"""Begins what JSON makes of a surrogate."""
SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
SURROGATES_JOIN = "two lone surrogates in its text become one character: pass text that UTF-8 can store"


def is_flat(value: Any, encoded: bytes) -> bool:
    """Is it text, or a dict of text to text, numbers and the like? JSON returns these as they were, no need to look."""
    if SURROGATE in encoded:
        return False
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str or type(item) not in FLAT:
                return False
        return TYPE not in value
    return type(value) in FLAT


def never(_: Any, __: bytes) -> bool:
    """What other serializers change is not known here."""
    return False


def encode_of(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """The ``encode`` of an encoder with its C part made once; the method makes it anew for every message."""
    make = getattr(json_encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    separators = (encoder.key_separator, encoder.item_separator)
    options = (encoder.sort_keys, encoder.skipkeys, encoder.allow_nan)
    encode = make(None, encoder.default, json_encoder.encode_basestring_ascii, None, *separators, *options)
    return lambda value: "".join(encode(value, 0))


def plain_json() -> tuple[Dump, Load]:
    """Kombu's JSON with its types, without building an encoder and a decoder for every message."""
    encode = encode_of(JSONEncoder(allow_nan=False))
    decode = json.JSONDecoder(object_hook=object_hook).decode
    scan = json_scanner.make_scanner(json.JSONDecoder())  # type: ignore[arg-type]  # typed as C has it, not as json does

    def dump(value: Any) -> bytes:
        text = encode(value)
        if text.count("[") + text.count("{") > MAX_DEPTH and depth(value) > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        return text.encode()

    def load(payload: bytes) -> Any:
        text = payload.decode()
        if TYPE in text:
            return decode(text)
        try:
            value, end = scan(text, 0)
        except StopIteration:
            end = -1
        # What has spaces around it, or is none, is for the decoder to judge.
        return value if end == len(text) else decode(text)

    return dump, load


def depth(value: Any) -> int:
    """How many lists and dicts lie inside one another."""
    levels, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list, tuple))]:
        levels += 1
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    return levels


def registered(serializer: str) -> tuple[Dump, Load]:
    """A serializer as kombu's registry has it."""
    content_type = serializers.name_to_type[serializer]

    def dump(value: Any) -> bytes:
        payload = dumps(value, serializer=serializer)[2]
        return payload.encode() if isinstance(payload, str) else bytes(payload)

    def load(payload: bytes) -> Any:
        return loads(payload, content_type, "utf-8", accept=[content_type])

    return dump, load


def unfaithful(value: Any) -> str | None:
    """Say what a serializer changed on the way, as far as the usual suspects tell; no text of the value is in it."""
    return next((fault for part in parts(value) if (fault := fault_of(part))), None)


def parts(value: Any) -> Iterator[Any]:
    """A value and all that lies in it, each list and dict once, for one may hold itself."""
    seen: set[int] = set()
    level = [value]
    while level:
        yield from level
        holders = [each for each in level if isinstance(each, (dict, list)) and id(each) not in seen]
        seen.update(map(id, holders))
        level = [item for each in holders for item in (each.values() if isinstance(each, dict) else each)]


def fault_of(part: Any) -> str | None:
    """What is wrong with a part itself, whatever lies in it."""
    if isinstance(part, dict):
        for key in part:
            if not isinstance(key, str):
                return f"a key is {type(key).__name__}, which becomes text: pass str(key)"
            if SURROGATE_PAIR.search(key):
                return SURROGATES_JOIN
    elif isinstance(part, (tuple, set, frozenset)):
        return f"a {type(part).__name__} becomes a list: pass list(value)"
    elif isinstance(part, float) and not isfinite(part):
        return f"JSON has no {part}: pass None or text"
    elif isinstance(part, str) and SURROGATE_PAIR.search(part):
        return SURROGATES_JOIN
    return None
