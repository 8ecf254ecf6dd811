"""Lists that take several script calls to search or to read: what happens between the calls does no harm."""

from collections.abc import Callable
from typing import Any

import pytest

from celery_inbox.store.keys import Address, address
from celery_inbox.store.redis import SEARCH_ON, RedisStore
from store.scene import Scene, ids

MANY = 12_000
"""Messages that a search looks at in more than one call."""
MB = 1 << 20

pytestmark = pytest.mark.settings(max_pending=100_000, max_pending_bytes=100 * MB, max_bytes=16 * MB)


def fill(scene: Scene, many: int = MANY, payload: bytes = b"{}") -> None:
    messages = [scene.outgoing(f"m{number}", payload=payload) for number in range(many)]
    for first in range(0, many, 1000):
        scene.store.send_many(messages[first : first + 1000], scene.now)


def between(store: RedisStore, monkeypatch: pytest.MonkeyPatch, move: str, act: Callable[[], Any]) -> list[int]:
    """Do something after the first call of a move; the reply counts its calls."""
    calls: list[int] = []
    call = store._of_session

    def of_session(name: str, place: Address, /, **given: Any) -> Any:
        answer = call(name, place, **given)
        if name == move:
            calls.append(1)
            if len(calls) == 1:
                act()
        return answer

    monkeypatch.setattr(store, "_of_session", of_session)
    return calls


def test_a_search_finds_what_moves_while_others_are_removed(
    redis_scene: Scene, redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is removed behind the search moves the messages that it has not seen to where it has looked."""
    fill(redis_scene)
    place, looked_at = address("s", 1), searched_by_one_call(redis_scene, redis_store)
    wanted = MANY - looked_at - 1  # the next that it would look at

    def remove_newer() -> None:
        for number in range(MANY - 50, MANY):
            assert redis_store.remove(place, f"m{number}", redis_scene.now)

    calls = between(redis_store, monkeypatch, "replace", remove_newer)
    edited = redis_scene.outgoing(f"m{wanted}", payload=b"[]")
    assert redis_store.replace(edited, redis_scene.now) == "replaced"
    assert len(calls) == 2


def test_a_search_goes_on_while_the_oldest_are_handled(
    redis_scene: Scene, redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They leave at the other end; what is sent meanwhile is none of its business."""
    fill(redis_scene)
    wanted = MANY - searched_by_one_call(redis_scene, redis_store) - 1

    def go_on() -> None:
        for number in range(50):
            redis_store.send(redis_scene.outgoing(f"later {number}".replace(" ", "-")), redis_scene.now)
        redis_store.flush(address("s", 1), redis_scene.now)
        claim = redis_store.claim("0", "token", redis_scene.plan(), "", redis_scene.now)
        assert claim is not None
        redis_store.ack(claim, "", None, redis_scene.now)

    calls = between(redis_store, monkeypatch, "remove", go_on)
    assert redis_store.remove(address("s", 1), f"m{wanted}", redis_scene.now)
    assert len(calls) == 2


def searched_by_one_call(scene: Scene, store: RedisStore) -> int:
    """Messages that a search looks at before it asks to be called again."""
    more, cursor = store._of_session("remove", address("s", 1), now=scene.now, id="nobody", cursor=0, **store._cutting)
    assert more == SEARCH_ON
    return int(cursor)


def test_pages_of_large_bodies_are_put_together(redis_scene: Scene, redis_store: RedisStore) -> None:
    """peek, dead letters and dropped messages are whole and in order, although one call reads two MiB."""
    bodies = b"x" * (MB // 2)
    fill(redis_scene, 12, bodies)
    redis_store.flush(address("s", 1), redis_scene.now)
    claim = redis_store.claim("0", "token", redis_scene.plan(), "", redis_scene.now)
    assert claim is not None
    for number in range(12, 24):
        redis_store.send(redis_scene.outgoing(f"m{number}", payload=bodies), redis_scene.now)
    view = redis_store.peek(address("s", 1), 1, 10)
    assert view is not None
    assert ids(view.batch) == [f"m{number}" for number in range(12)]
    assert ids(view.elements) == [f"m{number}" for number in range(13, 23)]
    redis_store.nack(claim, -1, "reason", "traceback", redis_scene.now)
    assert [ids(letter.elements) for letter in redis_store.letters("0")] == [[f"m{number}" for number in range(12)]]
    assert redis_store.drop(address("s", 1), "ticket", redis_scene.now) == 12
    pages = []
    while page := redis_store.dropped("0", "ticket"):
        pages.append(ids(page))
    assert len(pages) > 1
    assert [id for page in pages for id in page] == [f"m{number}" for number in range(12, 24)]
