"""Claim: who gets which batch."""

import pytest

from celery_inbox.element import unpack
from store.scene import DEBOUNCE, T0, Scene, ids


def test_nothing_is_claimed_before_it_is_due(scene: Scene) -> None:
    """Not a millisecond."""
    scene.send("a")
    scene.wait(DEBOUNCE - 1)
    assert scene.claim() is None
    scene.wait(1)
    assert scene.claim() is not None


def test_an_empty_partition_gives_nothing(scene: Scene) -> None:
    """A stale kick is harmless."""
    assert scene.claim() is None


def test_a_claim_says_everything_the_worker_needs(scene: Scene) -> None:
    """Session, attempt, times, messages in send order."""
    scene.send("a", "chat:42")
    scene.send("b", "chat:42")
    scene.wait(1_500)
    claim = scene.claimed()
    assert claim.address.session == "chat:42"
    assert claim.address.partition == "0"
    assert (claim.attempt, claim.kind, claim.due_at, claim.claimed_at) == (1, "m", T0 + DEBOUNCE, scene.now)
    assert claim.batch_id == f"0-{claim.fence}"
    assert ids(claim.elements) == ["a", "b"]


def test_the_longest_due_session_comes_first(scene: Scene) -> None:
    """In the order of due_at, not of names or of arrival."""
    scene.send("a", "one", debounce=3_000)
    scene.send("b", "two", debounce=1_000)
    scene.send("c", "three", debounce=2_000)
    scene.wait(5_000)
    assert [scene.claimed().address.session for _ in range(3)] == ["two", "three", "one"]


def test_a_session_is_claimed_by_one_at_a_time(scene: Scene) -> None:
    """CLAIMED, other token: busy, whatever waits."""
    scene.open_batch("a")
    scene.send("b", flush=True)
    assert scene.claim() is None


def test_the_same_token_gets_the_same_reply(scene: Scene) -> None:
    """DUP-2: a claim that is sent again returns the same batch, nothing is counted."""
    scene.send("a", flush=True)
    scene.send("b", "other", flush=True)
    first = scene.claimed("token")
    before = scene.look()
    scene.wait(10)
    assert scene.claimed("token") == first
    assert scene.look() == before


def test_the_same_token_does_not_extend_the_lease(scene: Scene) -> None:
    """Only renew does."""
    scene.send("a", flush=True)
    scene.claimed("token")
    lease_end = scene.peek().lease_end  # type: ignore[union-attr]
    scene.wait(500)
    scene.claimed("token")
    assert scene.peek().lease_end == lease_end == T0 + 30_000  # type: ignore[union-attr]


def test_a_retry_is_the_same_batch_with_a_higher_attempt(scene: Scene) -> None:
    """Promise 4: same id, same messages, newer ones do not join."""
    first = scene.open_batch("a", "b")
    scene.send("c", flush=True)
    scene.nack(first, delay=0)
    second = scene.claimed()
    assert (second.batch_id, second.elements) == (first.batch_id, first.elements)
    assert second.attempt == 2
    assert second.fence > first.fence


@pytest.mark.settings(max_batch=2)
def test_a_batch_is_cut_at_max_batch(scene: Scene) -> None:
    """Five messages, batches of two."""
    for id in "abcde":
        scene.send(id)
    scene.wait(DEBOUNCE)
    claim = scene.claimed()
    assert ids(claim.elements) == ["a", "b"]
    claim = scene.ack(claim, "next").next or pytest.fail("nothing came next")
    assert ids(claim.elements) == ["c", "d"]
    claim = scene.ack(claim, "last").next or pytest.fail("nothing came next")
    assert ids(claim.elements) == ["e"]


@pytest.mark.settings(max_bytes=100)
def test_a_batch_is_cut_before_it_passes_max_bytes(scene: Scene) -> None:
    """Exactly the limit still fits."""
    for id, size in (("a", 60), ("b", 40), ("c", 60), ("d", 41)):
        scene.send(id, payload=b"x" * size)
    claim = scene.claimed()
    assert ids(claim.elements) == ["a", "b"]
    following = scene.ack(claim, "next").next
    assert following is not None
    assert ids(following.elements) == ["c"]


@pytest.mark.settings(max_bytes=100)
def test_a_message_larger_than_max_bytes_travels_alone(scene: Scene) -> None:
    """It is neither refused nor stuck."""
    scene.send("a", payload=b"x" * 500)
    scene.send("b", payload=b"x")
    assert ids(scene.claimed().elements) == ["a"]


def test_a_batch_is_cut_at_another_key(scene: Scene) -> None:
    """Neighbours only: the third does not join the first."""
    for id, key in (("a", "k1"), ("b", "k2"), ("c", "k1")):
        scene.send(id, key=key)
    assert ids(scene.claimed().elements) == ["a"]


def test_a_command_is_claimed_alone_in_its_place(scene: Scene) -> None:
    """Handled after what came before and before what comes after."""
    scene.send("a")
    scene.command("c1")
    scene.command("c2")
    scene.send("b", flush=True)
    seen = []
    for kind in "mccm":
        claim = scene.claimed(kind=kind)
        seen.append(ids(claim.elements))
        assert claim.kind == kind
        scene.ack(claim)
    assert seen == [["a"], ["c1"], ["c2"], ["b"]]


def test_a_claim_takes_its_own_kind_only(scene: Scene) -> None:
    """A batch handler's kick leaves a command to the command handler's, and the other way round."""
    scene.command("stop", "one")
    scene.send("a", "two", flush=True)
    assert scene.claimed(kind="m").address.session == "two"
    assert scene.claimed(kind="c").address.session == "one"


def test_a_retried_command_is_still_a_command(scene: Scene) -> None:
    """The kind of the open batch decides, not that of the next message."""
    scene.command("stop")
    scene.send("a", flush=True)
    scene.nack(scene.claimed(kind="c"), delay=0)
    assert scene.claim(kind="m") is None
    assert ids(scene.claimed(kind="c").elements) == ["stop"]


def test_fences_grow_with_every_claim(scene: Scene) -> None:
    """Across sessions, retries and releases of a partition, even within a millisecond."""
    fences = []
    for session in ("one", "two"):
        claim = scene.open_batch("a", "b", session=session)
        fences.append(claim.fence)
        for _ in range(3):
            scene.nack(claim)
            claim = scene.claimed()
            fences.append(claim.fence)
            scene.release(claim)
            claim = scene.claimed()
            fences.append(claim.fence)
        scene.ack(claim)
    assert fences == sorted(set(fences))
    assert fences[0] == T0


def test_fences_follow_the_clock(scene: Scene) -> None:
    """At least Redis's now: they grow across a server that lost its counter."""
    scene.ack(scene.open_batch("a"))
    scene.wait(5_000)
    assert scene.open_batch("b").fence == T0 + 5_000


def test_fences_grow_though_the_clock_goes_back(scene: Scene) -> None:
    """The last fence wins over a clock that was set back."""
    first = scene.open_batch("a")
    scene.ack(first)
    scene.wait(-60_000)
    assert scene.open_batch("b").fence == first.fence + 1


def test_the_claim_takes_its_kick_from_the_record(scene: Scene) -> None:
    """A task that starts removes its kick, found or not."""
    scene.send("a", flush=True)
    ((kind, kick),) = scene.dispatch().kicks
    assert scene.stats().kicks == 1
    scene.claimed(kick=kick, kind=kind)
    assert scene.stats().kicks == 0


def test_an_unknown_kick_is_harmless(scene: Scene) -> None:
    """Doubled, stale, late: the claim works all the same."""
    scene.send("a", flush=True)
    assert scene.claim(kick="nobody-knows-me") is not None


def test_a_claim_starts_a_lease(scene: Scene) -> None:
    """30 s here."""
    scene.open_batch("a")
    assert list(scene.look().leased.values()) == [T0 + 30_000]


def test_a_claim_brings_any_name_and_any_bytes(scene: Scene) -> None:
    """A name may hold spaces, line ends and zeros, a payload any byte: the reply is cut by sizes alone."""
    name, payloads = "a  b\nc\0d ", [b"", b"\0 \xff\n", b"{}"]
    for number, payload in enumerate(payloads):
        scene.send(str(number), name, payload=payload)
    scene.wait(DEBOUNCE)
    claim = scene.claimed()
    assert claim.address.session == name
    assert [unpack(element)[1] for element in claim.elements] == payloads


@pytest.mark.settings(max_batch=3)
def test_a_batch_that_is_all_that_waits_may_be_as_large_as_any(scene: Scene) -> None:
    """As many messages as a batch may have go at once and leave nothing; one more stays behind."""
    for id in "abc":
        scene.send(id)
    for id in "defg":
        scene.send(id, "more")
    scene.wait(DEBOUNCE)
    assert {claim.address.session: ids(claim.elements) for claim in (scene.claimed(), scene.claimed())} == {
        "s": ["a", "b", "c"],
        "more": ["d", "e", "f"],
    }
    assert scene.count("size_5") == 2
