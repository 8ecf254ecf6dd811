"""Reclaim: leases that nobody renewed."""

from store.scene import Scene, ids


def test_a_lease_that_is_over_ends(scene: Scene) -> None:
    """Holder cleared, batch due now, told to the caller."""
    claim = scene.open_batch("a")
    scene.wait(30_000)
    (told,) = scene.reclaim()
    assert (told.address, told.fence, told.attempt) == (claim.address, claim.fence, 1)
    assert (told.outcome, told.batch_id) == ("retry", claim.batch_id)
    assert scene.due_in() == 0
    again = scene.claimed()
    assert (again.attempt, again.batch_id, again.elements) == (2, claim.batch_id, claim.elements)


def test_a_lease_that_runs_is_left_alone(scene: Scene) -> None:
    """Not a millisecond early."""
    scene.open_batch("a")
    scene.wait(29_999)
    assert scene.reclaim() == []


def test_a_crash_on_the_last_attempt_makes_a_dead_letter(scene: Scene) -> None:
    """LOS-3: the attempt counts, so a crashing message does not loop for ever."""
    claim = scene.open_batch("a", max_attempts=2)
    scene.send("b", flush=True)
    outcomes = []
    for _ in range(2):
        scene.wait(30_000)
        outcomes += [told.outcome for told in scene.reclaim()]
        if outcomes == ["retry"]:
            scene.claimed(max_attempts=2)
    assert outcomes == ["retry", "dead"]
    (letter,) = scene.letters()
    assert (letter.id, letter.attempts, letter.reason) == (claim.batch_id, 2, "crashed")
    assert "renew" in letter.traceback
    assert ids(scene.claimed().elements) == ["b"]


def test_reclaiming_twice_ends_a_lease_once(scene: Scene) -> None:
    """Two dispatchers look at the same partition."""
    scene.open_batch("a")
    scene.wait(30_000)
    assert len(scene.reclaim()) == 1
    before = scene.look()
    assert scene.reclaim() == []
    assert scene.look() == before


def test_the_lease_of_a_stopping_worker_ends_as_a_release(scene: Scene) -> None:
    """Section 4: deploys never eat attempts."""
    scene.open_batch("a", worker="w1", max_attempts=1)
    scene.stop("w1")
    scene.wait(30_000)
    (told,) = scene.reclaim()
    assert told.outcome == "retry"
    assert scene.letters() == []
    assert scene.claimed(worker="w2", max_attempts=1).attempt == 1


def test_after_an_outage_nobody_reclaims_for_one_lease(scene: Scene) -> None:
    """Redis was away: holders get time to renew before they are taken for dead."""
    claim = scene.open_batch("a")
    scene.wait(40_000)
    assert scene.reclaim(outage=True) == []
    scene.wait(10_000)
    assert scene.reclaim() == []
    assert scene.renew(claim)
    scene.wait(20_000)
    assert scene.reclaim() == []
    scene.wait(10_000)
    assert len(scene.reclaim()) == 1


def test_who_does_not_come_back_after_an_outage_is_reclaimed(scene: Scene) -> None:
    """One lease later, to the millisecond."""
    scene.open_batch("a")
    scene.wait(40_000)
    scene.reclaim(outage=True)
    scene.wait(29_999)
    assert scene.reclaim() == []
    scene.wait(1)
    assert len(scene.reclaim()) == 1


def test_the_dispatcher_is_told_of_no_expired_lease_during_the_grace(scene: Scene) -> None:
    """It would ask for nothing every time it looks."""
    scene.open_batch("a")
    scene.wait(40_000)
    assert scene.dispatch().expired == 1
    scene.reclaim(outage=True)
    assert scene.dispatch().expired == 0
    scene.wait(30_000)
    assert scene.dispatch().expired == 1


def test_many_leases_end_in_the_order_of_their_ends(scene: Scene) -> None:
    """Oldest first."""
    for session in ("one", "two", "three"):
        scene.open_batch("a", session=session)
        scene.wait(10)
    scene.wait(30_000)
    assert [told.address.session for told in scene.reclaim()] == ["one", "two", "three"]


def test_one_call_ends_at_most_twenty_leases(scene: Scene) -> None:
    """A mass death does not block the server; the next call goes on."""
    for number in range(43):
        scene.store.send(scene.outgoing("a", f"session-{number}", flush=True), scene.now)
        scene.store.claim("0", f"token-{number}", scene.plan(), "", scene.now)
    scene.wait(30_000)
    assert [len(scene.reclaim()) for _ in range(4)] == [20, 20, 3, 0]


def test_a_lost_batch_that_quarantine_emptied_leaves_no_dead_letter(scene: Scene) -> None:
    """The worker died after it had set everything aside."""
    claim = scene.open_batch("a", max_attempts=1)
    scene.quarantine(claim, claim.elements[0])
    scene.wait(30_000)
    scene.reclaim()
    assert scene.letters() == []
    assert scene.peek() is None
