"""Moving sessions to another number of partitions: all of a session, once, whatever interrupts it."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from celery_inbox.element import COMMAND
from celery_inbox.errors import ConfigurationError, Repartitioning
from celery_inbox.settings import Settings
from celery_inbox.store.keys import address, command_address, home_of
from celery_inbox.store.moves import Claim, Outgoing, Plan, Terms
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.repartition import Moved, Repartition
from celery_inbox.store.server import recorded
from store.snapshot import sweep

OLD, MORE, FEWER = 8, 12, 5
MOST = 16
MANY = 16
"""Sessions of each kind."""
PLAN = Plan(max_attempts=3)
HOUR = 3_600_000


def quietly(moved: Moved) -> None:
    """No progress is shown."""


class Town:
    """One inbox with sessions in every state, on several partitions."""

    def __init__(self, url: str, namespace: str, partitions: int) -> None:
        terms = Terms.of(Settings(partitions=partitions, active_window=600, min_interval=600, lease=30))
        self.partitions = partitions
        self.store = RedisStore(url, namespace, "inbox", terms, socket_timeout=4)
        self.url, self.namespace = url, namespace
        self.tokens = itertools.count()

    def known_as(self, partitions: int) -> Town:
        """The same inbox, as a process sees it that is set to another number."""
        return Town(self.url, self.namespace, partitions)

    def send(self, session: str, id: str, flush: bool = True, generated: bool = False, flags: str = "a") -> str:
        place = address(session, self.partitions)
        return self.store.send(Outgoing(place, id, generated, b"{}", HOUR, HOUR, flags=flags, flush=flush)).status

    def claim(self, session: str, plan: Plan = PLAN) -> Claim:
        """Claim the batch of a session, which is the only one due in its partition."""
        place = address(session, self.partitions)
        claim = self.store.claim(place.partition, f"token-{next(self.tokens)}", plan)
        assert claim is not None
        assert claim.address == place
        return claim

    def fill(self, many: int) -> None:
        """Put so many sessions of every state into it, those that were claimed first."""
        self.store.register(self.partitions, "json")
        for number in range(many):
            # Idle: remembered ids, a window and an interval are all that is left.
            name = f"idle-{number}"
            self.send(name, "seen")
            assert self.store.ack(self.claim(name)).handled == 1
            self.send(f"{name}-generated", f"g{number}", generated=True)
            self.store.ack(self.claim(f"{name}-generated"))
        for number in range(many):
            name = f"failing-{number}"
            self.send(name, "1")
            self.store.nack(self.claim(name), 0)
            self.store.nack(self.claim(name), HOUR)
            self.send(name, "2", flush=False)
            name = f"held-{number}"
            self.send(name, "1")
            self.store.nack(self.claim(name, Plan(max_attempts=1, on_exhausted="hold")), 0)
            name = f"dead-{number}"
            self.send(name, "1")
            self.store.nack(self.claim(name), -1, "reason", "traceback")
        for number in range(3):
            name = f"corrupt-{number}"
            self.send(name, "1")
            claim = self.claim(name)
            self.store.quarantine(claim, claim.elements[0])
            self.store.nack(claim, 0)
        for number in range(many):
            name = f"paused-{number}"
            self.store.pause(address(name, self.partitions), 0)
            self.send(name, "1")
            self.store.pause(address(f"paused-idle-{number}", self.partitions), HOUR if number % 2 else 0)
            self.send(f"waiting-{number}", "1", flush=False)
            self.send(f"waiting-{number}", "2", flush=False)
        place = command_address("commanded", "1")
        self.store.send(Outgoing(place, "1", False, b"{}", 0, 0, COMMAND))

    def repartition(self, new: int) -> Any:
        moved = Repartition(self.store, self.partitions, new).run(quietly)
        self.partitions = new
        return moved

    # Looking.

    def read(self) -> dict[Any, Any]:
        """All that matters, wherever it lies; each thing must lie in one place only."""
        with Redis.from_url(self.url) as client:
            return self._read(client)

    def _read(self, client: Any) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        counts: dict[bytes, int] = {}
        for key in sorted(each.decode() for each in client.scan_iter(f"{self.namespace}:*", count=10_000)):
            where, _, name = key.partition("}:")
            partition = where.rpartition(".")[2]
            room, _, rest = name.partition(":")
            if rest:
                assert name not in found, f"{name} lies in two places"
                found[name] = value(client, key), lasts(client, key)
                is_at_home = partition == "command" or room.startswith("dead")
                assert is_at_home or partition == home_of(rest, self.partitions), f"{name} lies in {partition}"
            elif room in ("due", "stopped", "dead", "generated"):
                for member, at in client.zrange(key, 0, -1, withscores=True):
                    assert room == "generated" or (room, member) not in found
                    found[room, member] = at
            elif room == "corrupt":
                found[room] = sorted(found.get(room, []) + value(client, key))
            elif room == "counts":
                for counter, count in client.hgetall(key).items():
                    counts[counter] = counts.get(counter, 0) + int(count)
        found["counts"] = counts
        return found

    def layouts(self) -> dict[str, Any]:
        states = {name: self.store.client.hgetall(f"{self.store.prefix(name)}:state") for name in map(str, range(MOST))}
        return {name: state.get(b"layout") for name, state in states.items() if state.get(b"layout")}


def value(client: Any, key: str) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
    raise AssertionError(key)


class End(int):
    """When a key ends, Unix ms; two that were read a moment apart are the same."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and abs(int(self) - int(other)) < 10_000

    __hash__ = int.__hash__


def lasts(client: Any, key: str) -> End | None:
    """When a key ends; None: never."""
    left = client.pttl(key)
    return None if left < 0 else End(left + int(client.time()[0]) * 1000)


@pytest.fixture
def town(redis_url: str) -> Iterator[Town]:
    """Open an inbox on its own namespace and fill it."""
    town = Town(redis_url, f"test-{uuid.uuid4().hex}", OLD)
    town.fill(MANY)
    yield town
    sweep(town.store)


@pytest.mark.parametrize("new", [MORE, FEWER, 1, OLD * 2])
def test_everything_moves_once_and_whole(town: Town, new: int) -> None:
    """Sessions with messages, open batches, pauses, ids of idle sessions, letters, counters; and back again."""
    before = town.read()
    moved = town.repartition(new)
    assert before == town.read()
    assert moved.sessions > 0
    assert moved.letters > 0
    town.store.terms = town.known_as(new).store.terms
    assert town.store.register(new, "json") == (new, "json")
    town.repartition(OLD)
    assert before == town.read()
    assert set(town.layouts().values()) == {str(OLD).encode()}


def test_a_session_goes_on_where_it_was(town: Town) -> None:
    """Attempt and batch id of a retry; order; a pause that holds; a duplicate that is one; a letter that is found."""
    failing = town.store.peek(address("failing-1", OLD))
    assert failing is not None
    town.repartition(MORE)
    town = town.known_as(MORE)
    place = address("failing-1", MORE)
    assert town.store.peek(place) == failing
    town.store.flush(place)
    claims = drain(town, place.partition)
    claim = next(each for each in claims if each.address == place)
    assert (claim.attempt, claim.batch_id) == (3, failing.batch_id)
    for number in range(MANY):
        assert town.send(f"idle-{number}", "seen") == "duplicate"
        assert town.send(f"idle-{number}-generated", f"g{number}", generated=True) == "duplicate"
        assert town.send(f"idle-{number}-generated", f"g{number}") == "duplicate"
        assert town.send(f"paused-idle-{number}", "1") == "accepted"
        view = town.store.peek(address(f"paused-idle-{number}", MORE))
        assert view is not None
        assert view.stopped_until is not None
        assert town.store.resume(address(f"paused-idle-{number}", MORE))
        assert town.store.resume(address(f"held-{number}", MORE))
    letters = [letter for name in map(str, range(MORE)) for letter in town.store.letters(name)]
    assert len(letters) == MANY
    for letter in letters:
        assert town.store.redrive(letter.id, address(letter.session, MORE), 0, HOUR) == 1


def drain(town: Town, partition: str) -> list[Claim]:
    """Claim and acknowledge everything that is due in a partition; the claims."""
    claims: list[Claim] = []
    while claim := town.store.claim(partition, f"drain-{next(town.tokens)}", PLAN):
        claims.append(claim)
        town.store.ack(claim)
    return claims


class Fault(Exception):
    """What a test raises inside of a call."""


class Faults:
    """Break one call to Redis: it is done, and its answer is not heard; the next call is not made."""

    def __init__(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.at = -1
        exchange, execute = store.link.exchange, store.client.execute_command
        monkeypatch.setattr(store.link, "exchange", self.breaking(exchange))
        monkeypatch.setattr(store.client, "execute_command", self.breaking(execute))

    def arm(self, at: int) -> None:
        self.calls, self.at = 0, at

    def disarm(self) -> None:
        self.at = -1

    def breaking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*given: Any, **options: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            answer = call(*given, **options)
            if number == self.at:
                raise Fault
            return answer

        return made


@pytest.mark.parametrize(("old", "new"), [(2, 3), (3, 2)])
def test_it_can_be_interrupted_at_every_call(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, old: int, new: int
) -> None:
    """The same command again brings it to the same end, whichever call was the last one."""
    for at in itertools.count():
        town = Town(redis_url, f"test-{uuid.uuid4().hex}", old)
        try:
            town.fill(2)
            before = town.read()
            faults = Faults(town.store, monkeypatch)
            faults.arm(at)
            try:
                town.repartition(new)
            except Fault:
                faults.disarm()
                if recorded(town.store)["partitions"] != str(new):
                    town.repartition(new)
                town.partitions = new
            else:
                faults.disarm()
                break
            assert before == town.read()
            assert set(town.layouts().values()) == {str(new).encode()}
        finally:
            sweep(town.store)
    assert at > 20


def test_an_overtaken_mover_brings_nothing_back(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """It read a session; another process ended the repartition, and the session was handled; its copy is refused."""
    slow = Repartition(town.store, OLD, MORE)
    ask, late = town.store.ask, list[Any]()

    def overtake(name: str, calls: Any) -> Any:
        if name == "place" and calls and not late:
            Repartition(town.known_as(OLD).store, OLD, MORE).run(quietly)
            for number in range(MANY):
                for kind in ("waiting", "paused", "held", "failing", "idle"):
                    place = address(f"{kind}-{number}", MORE)
                    town.store.forget(place.partition, place.session, place.digest)
            town.partitions = MORE
            late.append(town.read())
        return ask(name, calls)

    monkeypatch.setattr(town.store, "ask", overtake)
    with pytest.raises(ConfigurationError, match="another process has ended"):
        slow.run(quietly)
    assert late == [town.read()]
    assert recorded(town.store) == {"partitions": str(MORE), "serializer": "json"}


def test_sends_and_moves_are_refused_meanwhile(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen: nothing is stored, nothing is changed, and the error says so; looking is allowed."""
    before, seen = town.read(), list[Any]()
    place = address("waiting-1", OLD)
    moves: list[Callable[[], Any]] = [
        lambda: town.store.register(OLD, "json"),
        lambda: town.store.touch(place),
        lambda: town.store.flush(place),
        lambda: town.store.pause(place, 0),
        lambda: town.store.resume(place),
        lambda: town.store.drop(place, "ticket"),
        lambda: town.store.remove(place, "1"),
        lambda: town.store.forget(place.partition, "waiting-1", place.digest),
        lambda: town.store.cancel(place),
        lambda: town.store.claim(place.partition, "token", PLAN),
        lambda: town.store.dispatch([place.partition], "nonce", 1),
        lambda: town.store.reclaim(place.partition),
        lambda: town.store.purge(place.partition, "1"),
    ]

    def look(moved: Any) -> None:
        if seen:
            return
        for move in moves:
            with pytest.raises(Repartitioning, match="being moved"):
                move()
        sent = [town.store.send(Outgoing(address(name, OLD), "9", False, b"", 0, 0)) for name in ("waiting-1", "new")]
        assert [(each.status, each.waiting) for each in sent] == [("moved", 0)] * 2
        assert len(town.store.stats([place.partition])) == 1
        assert town.store.letters(place.partition) is not None
        seen.append(moved)

    Repartition(town.store, OLD, MORE).run(look)
    assert seen
    town.partitions = MORE
    assert before == town.read()


def test_a_process_with_the_old_number_cannot_mark_the_wrong_place(town: Town) -> None:
    """A web server that was not restarted: its sends and its moves are told the number, and change nothing."""
    town.repartition(FEWER)
    before = town.read()
    old = town.known_as(OLD)
    wrong = [address(f"s{number}", OLD) for number in range(100)]
    wrong = [place for place in wrong if place.partition != home_of(place.digest, FEWER)]
    assert wrong
    for place in wrong:
        with pytest.raises(ConfigurationError, match="5 partitions"):
            old.store.pause(place, 0)
        with pytest.raises(ConfigurationError, match="5 partitions"):
            old.store.forget(place.partition, place.session, place.digest)
        assert old.store.send(Outgoing(place, "1", False, b"", 0, 0))[:2] == ("moved", FEWER)
    assert before == town.read()


# Refusals.


def refused(town: Town, old: int, new: int, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        Repartition(town.store, old, new).run(quietly)


def test_wrong_numbers_are_refused(town: Town) -> None:
    """Nothing begins."""
    before = town.read()
    refused(town, 7, MORE, "recorded 8 partitions, not 7")
    refused(town, OLD, OLD, "recorded 8 partitions already")
    assert town.layouts() == {}
    assert before == town.read()
    unused = Town(town.url, f"test-{uuid.uuid4().hex}", OLD)
    refused(unused, OLD, MORE, "nothing is recorded yet")


def test_another_target_is_refused_while_one_is_under_way(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command that ends the first."""
    before = town.read()
    faults = Faults(town.store, monkeypatch)
    faults.arm(10)
    with pytest.raises(Fault):
        town.repartition(MORE)
    faults.disarm()
    assert recorded(town.store)["moving"] == str(MORE)
    refused(town, OLD, FEWER, "inbox repartition 8 12")
    town.repartition(MORE)
    assert before == town.read()


def test_a_running_batch_is_not_moved(town: Town) -> None:
    """It is named by its partition; everything is as before, and sends go on."""
    town.send("running", "1")
    claim = town.claim("running")
    before = town.read()
    refused(town, OLD, MORE, f"batches run: 1, in partitions {claim.address.partition};")
    assert before == town.read()
    assert "moving" not in recorded(town.store)
    assert b"0" not in town.layouts().values()
    assert town.send("running", "2") == "accepted"
    assert town.store.ack(claim).outcome == "done"
    town.repartition(MORE)


def test_a_living_worker_is_named(town: Town) -> None:
    """It tells that it lives; once it has left, nothing stands in the way."""
    town.store.share("celery@web1/1234", ["0"], [], 0)
    refused(town, OLD, MORE, "celery@web1;")
    assert "moving" not in recorded(town.store)
    assert town.send("new", "1") == "accepted"
    town.store.leave("celery@web1/1234")
    town.repartition(MORE)


def test_a_run_that_died_while_it_gave_up_can_be_run_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever call: the partitions are thawed, or the next run does it."""
    before = town.read()
    for at in range(1, 5):
        town.store.share("celery@web1/1234", ["0"], [], 0)
        faults = Faults(town.store, monkeypatch)
        faults.arm(at)
        with pytest.raises((Fault, ConfigurationError)):
            Repartition(town.store, OLD, MORE).run(quietly)
        faults.disarm()
        town.store.leave("celery@web1/1234")
        town.repartition(MORE)
        assert before == town.read()
        town.repartition(OLD)
