"""A batch whose handler dies or fails every time."""

import pytest

from crash.scene import Scene
from waiting import wait_until

MAX_ATTEMPTS = 3
POISONS = {"kill_itself": "crashed", "fail": "RuntimeError: asked to fail"}
"""Deed, and the reason that its dead letter has."""


@pytest.fixture
def worker_args() -> tuple[str, ...]:
    """A process for each poison."""
    return ("--pool", "prefork", "--concurrency", "2")


@pytest.fixture
def settings() -> dict[str, int]:
    return {"partitions": 16}


@pytest.fixture
def handler() -> dict[str, int]:
    return {"max_attempts": MAX_ATTEMPTS}


def test_a_poison_batch_becomes_a_dead_letter_and_its_session_goes_on(scene: Scene) -> None:
    """LOS-3, STK-5: exactly max_attempts starts, a dead letter, the next message; a redrive when the cause is gone."""
    scene.mark("cause")
    poison, good = {}, {}
    for deed in POISONS:
        poison[deed] = [*scene.send_some(deed, 1), scene.send(deed, do=deed, during="cause", flush=True).id]
    for deed in POISONS:
        scene.wait_for_runs(deed, 1)
        good[deed] = scene.send_some(deed, 3)
    for deed, reason in POISONS.items():
        scene.wait_for_handled(deed, good[deed], timeout=30)
        attempts = scene.runs(deed)[:-1]
        assert [run.start.attempt for run in attempts] == list(range(1, MAX_ATTEMPTS + 1)), deed
        assert {run.start.batch for run in attempts} == {attempts[0].start.batch}, deed
        assert all(list(run.ids) == poison[deed] for run in attempts), deed
        assert list(scene.runs(deed)[-1].ids) == good[deed], deed
        (letter,) = [letter for letter in scene.inbox.dead_letters() if letter.session == deed]
        assert (letter.id, letter.attempts, letter.reason) == (attempts[0].start.batch, MAX_ATTEMPTS, reason)
        assert [message.id for message in letter.messages] == poison[deed], deed
    scene.assert_clean()

    scene.unmark("cause")
    for letter in scene.inbox.dead_letters():
        assert scene.inbox.redrive(letter) == 2
    for deed in POISONS:
        scene.wait_for_handled(deed, poison[deed])
        assert scene.runs(deed)[-1].start.attempt == 1
        assert scene.handled(deed) == good[deed] + poison[deed]
    wait_until(lambda: scene.inbox.dead_letters() == [], description="no dead letter is left")
    scene.report().assert_clean(allow={"REORDER"})  # redriven dead letters are the stated exception
