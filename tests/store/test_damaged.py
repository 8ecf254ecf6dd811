"""A foreign hand writes something else to the keys of a session: its neighbours go on, and it can be forgotten."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celery_inbox.errors import StorageUnavailable
from celery_inbox.store.keys import address
from celery_inbox.store.moves import NEVER, Claim
from celery_inbox.store.redis import RedisStore
from store.scene import Scene, ids

ROOMS = ["s", "w", "b", "rest", "pause"]
by_room = pytest.mark.parametrize("room", ROOMS)


class Unread(Scene):
    """A scene that does not read the whole partition after each move: with such keys it cannot."""

    def look(self) -> Any:
        return None


@pytest.fixture
def redis_scene(redis_store: RedisStore) -> Scene:
    return Unread(redis_store)


@pytest.fixture
def damage(redis_store: RedisStore, redis_scene: Scene) -> Iterator[Callable[[str], None]]:
    """Put a set where a session's key should be."""

    def damage(room: str, session: str = "bad") -> None:
        key = f"{redis_store.prefix('0')}:{room}:{address(session, 1).digest}"
        redis_store.client.delete(key)
        assert redis_store.client.sadd(key, "not ours") == 1

    yield damage
    redis_store.forget("0", "bad", address("bad", 1).digest)


def handled(scene: Scene, session: str) -> Claim:
    """Claim and settle what is due, until it is this session's turn."""
    claim = scene.claimed()
    assert claim.address.session == session
    assert scene.ack(claim).outcome == "done"
    return claim


def listed(store: RedisStore) -> list[tuple[str, int]]:
    return [(session.state, session.at) for session in store.sessions("0")]


@by_room
def test_a_damaged_session_that_is_due_does_not_stop_its_neighbours(
    redis_scene: Scene, redis_store: RedisStore, damage: Callable[[str], None], room: str
) -> None:
    """It is first in line; dispatch publishes for the neighbour, claim takes it, nobody looks at the other again."""
    redis_scene.send("a", "bad", flush=True)
    redis_scene.wait(1)
    redis_scene.send("b", "good", flush=True)
    damage(room)
    assert len(redis_scene.dispatch().kicks) == 1
    assert listed(redis_store) == [("due", redis_scene.now), ("stopped", NEVER)]
    assert ids(handled(redis_scene, "good").elements) == ["b"]
    assert redis_scene.claim() is None


@by_room
def test_a_claim_and_an_ack_pass_a_damaged_session_by(
    redis_scene: Scene, redis_store: RedisStore, damage: Callable[[str], None], room: str
) -> None:
    """Without a dispatch before; it stands stopped."""
    redis_scene.send("a", "bad", flush=True)
    redis_scene.wait(1)
    redis_scene.send("b", "good", flush=True)
    damage(room)
    handled(redis_scene, "good")
    assert listed(redis_store) == [("stopped", NEVER)]


@pytest.mark.parametrize("room", ["s", "w", "b"])
def test_a_damaged_session_that_runs_is_stopped_when_its_lease_ends(
    redis_scene: Scene, redis_store: RedisStore, damage: Callable[[str], None], room: str
) -> None:
    """Its settlement is refused for good, and told so; reclaim goes on to the neighbours."""
    bad = redis_scene.open_batch("a", session="bad")
    good = redis_scene.open_batch("b", session="good")
    damage(room)
    if room != "w":
        with pytest.raises(StorageUnavailable, match="WRONGTYPE") as refused:
            redis_store.ack(bad)
        assert refused.value.is_final
    redis_scene.wait(30_000)
    redis_scene.reclaim()
    assert listed(redis_store) == [("due", redis_scene.now), ("stopped", NEVER)]
    again = handled(redis_scene, "good")
    assert (again.batch_id, again.attempt) == (good.batch_id, 2)


@by_room
def test_a_damaged_session_can_be_forgotten_and_used_again(
    redis_scene: Scene, redis_store: RedisStore, damage: Callable[[str], None], room: str
) -> None:
    """Nothing of it stays."""
    redis_scene.send("a", "bad", flush=True)
    damage(room)
    redis_scene.dispatch()
    redis_store.forget("0", "bad", address("bad", 1).digest)
    assert listed(redis_store) == []
    redis_scene.send("b", "bad", flush=True)
    assert ids(handled(redis_scene, "bad").elements) == ["b"]


def test_a_session_whose_damage_was_mended_goes_on_when_it_is_resumed(
    redis_scene: Scene, redis_store: RedisStore, damage: Callable[[str], None]
) -> None:
    """Deleting the foreign key is enough."""
    redis_scene.send("a", "bad", flush=True)
    damage("rest")
    redis_scene.dispatch()
    with pytest.raises(StorageUnavailable, match="WRONGTYPE"):
        redis_scene.resume("bad")
    redis_store.client.delete(f"{redis_store.prefix('0')}:rest:{address('bad', 1).digest}")
    redis_scene.resume("bad")
    assert ids(handled(redis_scene, "bad").elements) == ["a"]


@pytest.mark.parametrize("said", [b"", b"garbage", b"0", b"0 soon", b"0 -1", b"0 1 2", b"\xff 1", b"0 " + b"9" * 400])
def test_what_others_publish_wakes_nobody(redis_store: RedisStore, said: bytes) -> None:
    """It is passed by, and the next call is heard."""
    subscription = redis_store.wakes(["0"])
    channel = f"{redis_store.prefix('0')}:wake"
    assert redis_store.client.publish(channel, said) == 1
    assert redis_store.client.publish(channel, "0 250") == 1
    # The server's confirmations of the subscription, of the shares' channel too, come first.
    heard = [redis_store.woken(subscription, 5) for _ in range(4)]
    subscription.close()
    assert heard == [None, None, None, ("0", 250)]
