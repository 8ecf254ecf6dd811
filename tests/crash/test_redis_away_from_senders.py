"""Redis does not answer those who send: nobody listens, nothing comes back, everything is held, the reply is lost."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from celery import Celery
from redis import Redis

from celery_inbox import Inbox, StorageUnavailable
from celery_inbox.embedded import Server
from crash.scene import answers
from faults.proxy import Proxy
from waiting import wait_until

SOCKET_TIMEOUT = 1.0
WITHIN = SOCKET_TIMEOUT + 0.5
LAG = 0.2
"""Seconds for which the event loop may be held up; on a quiet machine it is a tenth of that."""

PAUSE = WITHIN + 0.5
"""Seconds; no command, ``CLIENT UNPAUSE`` included, is heard meanwhile."""

Fault = Callable[[Server, Proxy], AbstractContextManager[None]]


@contextmanager
def port_closed(server: Server, proxy: Proxy) -> Iterator[None]:
    server.stop()
    proxy.cut()
    assert not server.is_running
    yield
    server.start()


@contextmanager
def black_hole(server: Server, proxy: Proxy) -> Iterator[None]:
    proxy.black_hole()
    yield
    assert proxy.swallowed > 0
    proxy.heal()


@contextmanager
def paused(server: Server, proxy: Proxy) -> Iterator[None]:
    with Redis.from_url(server.url, socket_timeout=PAUSE) as client:
        client.client_pause(round(PAUSE * 1000), all=True)
        began = time.monotonic()
        yield
        assert time.monotonic() - began < PAUSE, "the pause was over before the send"
        wait_until(lambda: answers(client), description="the pause is over")


@contextmanager
def replies_lost(server: Server, proxy: Proxy) -> Iterator[None]:
    dropped = proxy.dropped
    proxy.drop_reply(100)
    yield
    assert proxy.dropped > dropped
    proxy.heal()


FAULTS: list[Fault] = [port_closed, black_hole, paused, replies_lost]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a server that these tests may stop."""
    with Server(appendonly=True) as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.url) as proxy:
        yield proxy


def new_inbox(url: str, namespace: str) -> Inbox:
    return Inbox(
        Celery("sender", set_as_current=False),
        "chat",
        redis_url=url,
        namespace=namespace,
        socket_timeout=SOCKET_TIMEOUT,
    )


@pytest.fixture
def namespace() -> str:
    return f"crash-{uuid.uuid4().hex}"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("is_first_send", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("own_id", [None, "telegram:42/é"], ids=["generated", "own"])
def test_a_send_without_an_answer_raises_in_time_and_a_retry_stores_it_once(
    server: Server, proxy: Proxy, namespace: str, fault: Fault, own_id: str | None, is_first_send: bool
) -> None:
    """FOV-6, DUP-2, LOS-7: within socket_timeout, with the id; sent again with that id it is there exactly once."""
    inbox = new_inbox(proxy.url, namespace)
    if not is_first_send:
        inbox.send("other", "connects")
    with fault(server, proxy):
        began = time.monotonic()
        with pytest.raises(StorageUnavailable) as raised:
            inbox.send("s", "hello", id=own_id)
        assert time.monotonic() - began <= WITHIN
    id = raised.value.id
    assert id
    assert own_id in (None, id)
    assert inbox.send("s", "hello", id=id).id == id
    assert inbox.send("s", "hello", id=id).status == "duplicate"
    view = inbox.peek("s")
    assert view is not None
    assert [message.id for message in view.messages] == [id]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("is_first_send", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("own_id", [None, "telegram:42/é"], ids=["generated", "own"])
def test_an_asend_without_an_answer_raises_in_time_and_holds_up_nobody(
    server: Server, proxy: Proxy, namespace: str, fault: Fault, own_id: str | None, is_first_send: bool
) -> None:
    """FOV-6: as with ``send``, and the event loop runs on meanwhile."""
    inbox = new_inbox(proxy.url, namespace)

    async def longest_lag(until: asyncio.Event) -> float:
        longest = 0.0
        while not until.is_set():
            began = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - began)
        return longest

    async def scene() -> str:
        if not is_first_send:
            await inbox.asend("other", "connects")
        with fault(server, proxy):
            ended = asyncio.Event()
            lag = asyncio.create_task(longest_lag(ended))
            await asyncio.sleep(0)
            began = time.monotonic()
            with pytest.raises(StorageUnavailable) as raised:
                await inbox.asend("s", "hello", id=own_id)
            assert time.monotonic() - began <= WITHIN
            ended.set()
            assert await lag <= LAG
        assert raised.value.id
        again = await inbox.asend("s", "hello", id=raised.value.id)
        assert again.id == raised.value.id
        return again.id

    id = asyncio.run(scene())
    view = inbox.peek("s")
    assert view is not None
    assert [message.id for message in view.messages] == [id]
