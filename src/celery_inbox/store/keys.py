"""Which partition, digest and key prefix a session has."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from celery_inbox.errors import InvalidSession

PROTOCOL = 1
MAX_SESSION_BYTES = 512
COMMAND_PARTITION = "command"
CRC_DIGITS = 8


class Address(NamedTuple):
    """Where a session is found."""

    partition: str
    """``"0"`` to ``"<partitions - 1>"``, or ``"command"``."""
    digest: str
    """Hexadecimal digits that stand for the session in keys and sets: 32 of a digest, then 8 from which its partition
    follows; a jump command has the 32 only."""
    session: str
    """The session's name."""


def encode_session(session: str) -> bytes:
    """Return the session's name in UTF-8.

    Raises:
        InvalidSession: It is not text of 1 to 512 UTF-8 bytes.
    """
    if not isinstance(session, str):
        raise InvalidSession(f"a session is text, not {type(session).__name__} ({session!r:.60}): pass str(...)")
    try:
        encoded = session.encode()
    except UnicodeEncodeError:
        raise InvalidSession("the session name holds a lone surrogate, which UTF-8 cannot store") from None
    if not 1 <= len(encoded) <= MAX_SESSION_BYTES:
        raise InvalidSession(
            f"the session name has {len(encoded)} UTF-8 bytes, the limits are 1 and {MAX_SESSION_BYTES}: "
            "pass a digest of it"
        )
    return encoded


def partition_of(session: bytes, partitions: int) -> str:
    """Map a session to its partition; pinned by a table of vectors, for every process must agree."""
    return str(crc32(session) % partitions)


def digest_of(name: bytes) -> str:
    """Stand for a name in keys; 128 bits, so that no two names meet."""
    return blake2b(name, digest_size=16).hexdigest()


def session_digest(session: bytes) -> str:
    """Stand for a session in keys: the digest of its name, then its crc32, so that every key tells its partition."""
    return f"{digest_of(session)}{crc32(session):08x}"


def home_of(digest: str, partitions: int) -> str:
    """Map the digest of a session to its partition, as ``partition_of`` does its name."""
    return str(int(digest[-CRC_DIGITS:], 16) % partitions)


def address(session: str, partitions: int) -> Address:
    """Locate a session.

    Raises:
        InvalidSession: The name cannot be used.
    """
    if not isinstance(session, str):
        encode_session(session)
    return _address(session, partitions)


@lru_cache(maxsize=4096)
def _address(session: str, partitions: int) -> Address:
    encoded = encode_session(session)
    return Address(partition_of(encoded, partitions), session_digest(encoded), session)


def command_address(session: str, id: str) -> Address:
    """Locate a jump command: a one-message session of its own in the partition of commands.

    Raises:
        InvalidSession: The name cannot be used.
    """
    return Address(COMMAND_PARTITION, digest_of(encode_session(session) + b"\0" + id.encode()), session)


def partition_of_letter(id: str, session: str, partitions: int) -> str:
    """Name the partition of a dead letter: that of its session, or of the commands.

    Its id has the partition where its batch was claimed first; the number of partitions may have changed since.
    """
    if id.rpartition("-")[0] == COMMAND_PARTITION:
        return COMMAND_PARTITION
    return address(session, partitions).partition


def partition_prefix(namespace: str, inbox: str, partition: str) -> str:
    """First part of every key of a partition; the braces keep them in one slot of a cluster."""
    return f"{namespace}:{PROTOCOL}:{{{inbox}.{partition}}}"


def inbox_prefix(namespace: str, inbox: str) -> str:
    """First part of every key of an inbox that belongs to no partition."""
    return f"{namespace}:{PROTOCOL}:{{{inbox}}}"
