"""Share, leave, prove: who serves an inbox; Redis alone, for an inbox without Redis has no workers."""

from __future__ import annotations

import pytest

from celery_inbox.store.moves import SHARES
from celery_inbox.store.redis import RedisStore
from store.scene import T0
from waiting import wait_until

LEASE = 2_000
"""Milliseconds."""

pytestmark = pytest.mark.settings(lease=2.0, dispatch_interval=0.5)


class Roster:
    """Workers that tell what they were given the last time, on a clock that the test sets."""

    def __init__(self, store: RedisStore, partitions: int) -> None:
        self.store = store
        self.partitions = partitions
        self.now = T0
        self.held: dict[str, list[str]] = {}

    def renew(self, worker: str) -> list[str]:
        """Tell, and consume what the reply says."""
        self.held[worker] = self.tell(worker, self.held.get(worker, []))
        return self.held[worker]

    def tell(self, worker: str, held: list[str]) -> list[str]:
        return self.store.share(worker, [], held, self.partitions, now=self.now)

    def settle(self, *workers: str) -> list[int]:
        """Everybody tells a few times; how many partitions each holds."""
        for _ in range(3):
            for worker in workers:
                self.renew(worker)
        return [len(self.held[worker]) for worker in workers]

    def owned(self) -> list[str]:
        return sorted((each for held in self.held.values() for each in held), key=int)


@pytest.fixture
def roster(redis_store: RedisStore) -> Roster:
    return Roster(redis_store, 32)


ALL = [str(number) for number in range(32)]


def test_one_worker_gets_everything_at_once(roster: Roster) -> None:
    """It tells once and may consume."""
    assert roster.renew("w1") == ALL


@pytest.mark.parametrize("workers", [2, 3, 5, 31, 32, 33, 40])
def test_shares_differ_by_one_at_most(roster: Roster, workers: int) -> None:
    """Each partition has one owner, however many workers there are; the thirty-third waits."""
    sizes = roster.settle(*(f"w{number}" for number in range(workers)))
    assert max(sizes) - min(sizes) <= 1
    assert roster.owned() == ALL


def test_nobody_gets_what_another_still_consumes(roster: Roster) -> None:
    """The first one is told to cease; only when it says that it has, the second gets it."""
    roster.renew("w1")
    assert roster.renew("w2") == []
    ceasing = roster.tell("w1", ALL)
    assert len(ceasing) == 16
    assert roster.renew("w2") == [], "w1 has not ceased to consume yet"
    roster.tell("w1", ceasing)
    assert roster.renew("w2") == [each for each in ALL if each not in ceasing]


def test_who_comes_moves_no_more_than_its_own_share(roster: Roster) -> None:
    """The others keep what they have, but for one each at most."""
    roster.settle("w1", "w3")
    before = {worker: set(held) for worker, held in roster.held.items()}
    roster.settle("w1", "w3", "w2")
    for worker, held in before.items():
        assert set(roster.held[worker]) <= held


def test_who_leaves_frees_its_share_at_once(roster: Roster) -> None:
    """No lease is waited for."""
    roster.settle("w1", "w2")
    roster.store.leave("w2")
    del roster.held["w2"]
    assert roster.renew("w1") == ALL


def test_who_does_not_tell_for_a_lease_is_dead(roster: Roster) -> None:
    """Not a millisecond earlier; back again, it gets a share as anybody who comes."""
    roster.settle("w1", "w2")
    roster.now += LEASE - 1
    assert len(roster.renew("w1")) == 16
    roster.now += 1
    assert roster.renew("w1") == ALL
    assert roster.tell("w2", roster.held["w2"]) == [], "what it still consumes is another's"
    roster.held["w2"] = []
    assert roster.settle("w1", "w2") == [16, 16]


def test_who_could_not_reach_redis_takes_nobody_for_dead(roster: Roster) -> None:
    """The others may have had the same trouble."""
    roster.settle("w1", "w2")
    roster.now += 10 * LEASE
    held = roster.held["w1"]
    assert roster.store.share("w1", [], held, 32, bury=False, now=roster.now) == held


def test_a_lost_roster_moves_nothing(roster: Roster) -> None:
    """Everybody keeps what it consumes."""
    roster.settle("w1", "w2", "w3")
    before = dict(roster.held)
    prefix = roster.store.inbox_prefix
    roster.store.client.delete(*roster.store.client.keys(f"{prefix.replace('[', '?')}:*"))
    roster.settle("w1", "w2", "w3")
    assert {worker: sorted(held) for worker, held in roster.held.items()} == {
        worker: sorted(held) for worker, held in before.items()
    }


def test_a_worker_with_partitions_of_its_own_takes_no_share(roster: Roster) -> None:
    """It is known, and the others share everything among themselves."""
    roster.store.share("fixed", ["command"], [], 0, now=roster.now)
    assert roster.renew("w1") == ALL
    assert {found.worker: found.partitions for found in roster.store.workers(roster.now)} == {
        "fixed": ("command",),
        "w1": (),
    }
    roster.renew("w1")
    assert {found.worker: len(found.partitions) for found in roster.store.workers(roster.now)}["w1"] == 32


def test_a_share_with_fewer_partitions_forgets_the_others(roster: Roster) -> None:
    """After repartition."""
    roster.settle("w1", "w2")
    roster.partitions = 16
    assert roster.settle("w1", "w2") == [8, 8]
    assert roster.owned() == ALL[:16]


def test_a_proof_is_shown_for_an_hour(roster: Roster) -> None:
    """Who consumed when; a dead worker is not listed."""
    roster.renew("w1")
    roster.store.prove("w1", roster.now)
    [found] = roster.store.workers(roster.now)
    assert (found.worker, found.told_at, found.consumed_at) == ("w1", T0, T0)
    roster.now += 3_600_001
    roster.renew("w1")
    roster.store.prove("w2", roster.now)
    [found] = roster.store.workers(roster.now)
    assert found.consumed_at is None
    roster.now += LEASE
    assert roster.store.workers(roster.now) == []


def test_every_change_wakes_the_others(roster: Roster) -> None:
    """Who comes, what is freed, who leaves; a word that changes nothing wakes nobody."""
    subscription = roster.store.wakes([])

    def is_told() -> bool:
        return roster.store.woken(subscription, 0.5) == (SHARES, 0)

    def is_quiet() -> bool:
        return roster.store.woken(subscription, 0.2) is None

    try:
        wait_until(lambda: roster.store.woken(subscription, 0.05) is None, description="subscribed")
        roster.renew("w1")
        assert is_told()
        roster.renew("w1")
        assert is_quiet()
        roster.renew("w2")
        assert is_told()
        ceasing = roster.tell("w1", ALL)
        assert is_quiet()
        roster.tell("w1", ceasing)
        assert is_told()
        roster.store.leave("w1")
        assert is_told()
    finally:
        subscription.close()
