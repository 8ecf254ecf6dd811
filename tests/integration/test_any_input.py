"""SEC-4: whatever a caller hands over comes out of a real server equal, or is refused before anything is stored."""

import asyncio
import datetime
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_inbox import Batch, Command, Inbox, InvalidMessage, InvalidSession, Receipt
from celery_inbox.element import COMMAND, MESSAGE
from celery_inbox.store.moves import Claim, Plan
from celery_inbox.store.redis import RedisStore
from celery_inbox.worker import drain
from celery_inbox.worker.lease import Lease

# Lone surrogates, pairs of them, NUL and what the protocol, keys and JSON give a meaning to, among all other text.
TEXT = st.text(st.characters() | st.sampled_from('\ud83d\ude00\0\r\n {}[]*:%"\\'), max_size=12)
PAIRS = st.lists(st.sampled_from(["\ud83d", "\ude00"]), max_size=3).map("".join)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.just(10**300) | st.floats() | st.just(-0.0) | TEXT | PAIRS
    | st.binary(max_size=4) | st.decimals() | st.datetimes(timezones=st.none() | st.just(datetime.UTC)) | st.dates()
    | st.times() | st.timedeltas() | st.uuids() | st.complex_numbers() | st.just(object())
)  # fmt: skip
KEYS = TEXT | st.integers() | st.none() | st.binary(max_size=2) | st.sampled_from(["__type__", "__value__"])
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=5,
)
PLAIN = TEXT | PAIRS | st.integers() | st.none()
BODIES = st.one_of(PLAIN, st.dictionaries(TEXT | PAIRS, PLAIN, max_size=3), LEAVES, NESTED)
EDGES = ["a:b", "c{d}", "\0", "a\nb", "\ud800", "", "x" * 512, "x" * 513, "ü" * 256, None, 5, b"bytes", "a b ", "%00"]
NAMES = st.sampled_from(EDGES) | TEXT
IDS = st.none() | st.sampled_from([each for each in EDGES if each is not None]) | TEXT


class Said(NamedTuple):
    """Everything that a caller says in a call."""

    session: Any
    body: Any
    id: Any
    headers: Any


HEADERS = st.none() | st.dictionaries(KEYS, LEAVES, max_size=2) | st.sampled_from([[], "", (1,)])
CALLS = st.builds(Said, NAMES | st.just("s"), BODIES, IDS, HEADERS)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def inbox(redis_url: str) -> Iterator[Inbox]:
    """An inbox of two partitions that has a namespace of its own and takes each id as often as it comes."""
    app = Celery("any", broker=redis_url, set_as_current=False)
    inbox = Inbox(app, "chat", namespace=f"any-{uuid.uuid4().hex}", partitions=2, max_message_bytes=1 << 20)
    inbox.handler(print)
    inbox.command_handler(print)
    yield inbox
    store = inbox.open_store()
    keys = list(store.client.scan_iter(f"{inbox.settings.namespace}:*"))
    if keys:
        store.client.delete(*keys)


def send(inbox: Inbox, said: Said, loop: asyncio.Runner) -> Receipt:
    return inbox.send(said.session, said.body, id=said.id, headers=said.headers, flush=True)


def asend(inbox: Inbox, said: Said, loop: asyncio.Runner) -> Receipt:
    return loop.run(inbox.asend(said.session, said.body, id=said.id, headers=said.headers, flush=True))


def send_many(inbox: Inbox, said: Said, loop: asyncio.Runner) -> Receipt:
    """A neighbour goes first: it is not stored either when the other is refused."""
    _, receipt = inbox.send_many([("neighbour", 1), (said.session, said.body, said.id)])
    inbox.flush(said.session)
    return receipt


def send_command(inbox: Inbox, said: Said, loop: asyncio.Runner) -> Receipt:
    return inbox.send_command(said.session, said.body, id=said.id, headers=said.headers)


def replace(inbox: Inbox, said: Said, loop: asyncio.Runner) -> Receipt:
    """The message that is edited was sent before; its refused edit leaves it as it was."""
    receipt = inbox.send(said.session, "first", id=said.id, flush=True)
    try:
        assert inbox.replace(said.session, receipt.id, said.body, headers=said.headers)
    except InvalidMessage:
        view = inbox.peek(said.session)
        assert view is not None
        assert [message.body for message in view.messages] == ["first"]
        inbox.forget(said.session)
        raise
    return receipt


WAYS: list[Callable[[Inbox, Said, asyncio.Runner], Receipt]] = [send, asend, send_many, send_command, replace]


def accepted(store: RedisStore, inbox: Inbox) -> int:
    return sum(depth.counts.get("accepted", 0) for depth in store.stats(inbox.partition_names()))


def pending(inbox: Inbox) -> int:
    return inbox.stats().pending


def claimed(inbox: Inbox, store: RedisStore, session: str) -> Claim:
    """Claim what waits in a session, as its worker would."""
    for partition in inbox.partition_names():
        kind = COMMAND if partition == "command" else MESSAGE
        while claim := store.claim(partition, uuid.uuid4().hex, Plan(kind)):
            if claim.address.session == session:
                return claim
            store.ack(claim)
    raise AssertionError("nothing is due")


def read(inbox: Inbox, claim: Claim) -> Batch | Command | None:
    """Decode as a worker does."""
    return drain.read(inbox, claim, Lease(claim, inbox, 60))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=CALLS)
def test_what_is_handed_over_comes_back_equal_or_is_refused(
    inbox: Inbox, loop: asyncio.Runner, way: Callable[[Inbox, Said, asyncio.Runner], Receipt], said: Said
) -> None:
    """Session, id, body and headers, by every way in; never an error, and nothing set aside, at the claim."""
    store = inbox.open_store()
    before = pending(inbox)
    try:
        receipt = way(inbox, said, loop)
    except (InvalidMessage, InvalidSession):
        assert pending(inbox) == before
        return
    claim = claimed(inbox, store, said.session)
    work = read(inbox, claim)
    assert work is not None
    message = work.message if isinstance(work, Command) else work[0]
    assert (work.session, message.id, message.body) == (said.session, receipt.id, said.body)
    assert type(message.body) is type(said.body)
    assert message.headers == ((said.headers or {}) if way is not send_many else {})
    assert said.id in (None, message.id)
    inbox.forget(said.session)
    inbox.forget("neighbour")
    assert inbox.stats().quarantined == 0


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_body_of_a_megabyte_comes_back_or_is_refused_by_its_size(
    inbox: Inbox, loop: asyncio.Runner, way: Callable[[Inbox, Said, asyncio.Runner], Receipt]
) -> None:
    """Two bytes less than the limit are the text, for it stands between quotes; one more passes it."""
    said = Said("s", "x" * ((1 << 20) - 2), None, None)
    way(inbox, said, loop)
    work = read(inbox, claimed(inbox, inbox.open_store(), "s"))
    assert isinstance(work, (Batch, Command))
    message = work.message if isinstance(work, Command) else work[0]
    assert message.body == said.body
    inbox.forget("s")
    inbox.forget("neighbour")
    with pytest.raises(InvalidMessage, match=f"max_message_bytes is {1 << 20}"):
        way(inbox, said._replace(body=said.body + "x"), loop)
    assert inbox.stats().pending == 0
