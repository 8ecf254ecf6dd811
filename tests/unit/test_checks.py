"""The six checks: each finds what it is for, and nothing in a history that is right."""

from collections.abc import Iterable
from itertools import count

import pytest

from celery_inbox.testing import Ended, Event, Report, Sent, Started, check
from celery_inbox.testing.events import Arrival, Kind
from celery_inbox.testing.violations import Check, Dup, Lost, Overlap, Reorder, Stuck, Unexpected

NUMBERS = count(1)


def sent(*ids: str, session: str = "ada", kind: Kind = "batch", status: str = "accepted", at: int = 0) -> list[Event]:
    """Send messages."""
    return [Sent(session=session, kind=kind, id=name, status=status, at=at) for name in ids]


def start(*ids: str, session: str = "ada", kind: Kind = "batch", batch: str = "b", at: int = 0) -> Started:
    """Begin a run."""
    number = next(NUMBERS)
    return Started(
        run=str(number),
        pid=1,
        session=session,
        kind=kind,
        batch=batch,
        fence=number,
        attempt=1,
        messages=tuple(Arrival(name, 0, True) for name in ids),
        at=at,
    )


def end(start: Started, *, ok: bool = True, at: int = 0) -> Ended:
    """End a run."""
    fields = {name: getattr(start, name) for name in Started.__slots__} | {"at": at}
    return Ended(**fields, outcome="ok" if ok else "error", error=None if ok else "ValueError")


def run(*ids: str, session: str = "ada", kind: Kind = "batch", ok: bool = True, at: int = 0) -> list[Event]:
    """Begin and end a run with nothing between."""
    began = start(*ids, session=session, kind=kind, at=at)
    return [began, end(began, ok=ok, at=at)]


def found(report: Report) -> set[Check]:
    """Name the checks that found something."""
    return {violation.check for violation in report.violations}


class TestClean:
    """Histories that are right."""

    def test_an_empty_history_is_clean(self) -> None:
        """Nothing was promised."""
        assert check([]).is_clean

    def test_messages_in_order_in_two_batches_are_clean(self) -> None:
        """The plain case."""
        assert check([*sent("1", "2", "3"), *run("1", "2"), *run("3")]).is_clean

    def test_a_failed_attempt_before_the_successful_one_is_clean(self) -> None:
        """A retry hands the same messages over again."""
        assert check([*sent("1", "2"), *run("1", "2", ok=False), *run("1", "2")]).is_clean

    def test_a_killed_run_before_the_successful_one_is_clean(self) -> None:
        """A worker's death leaves a run without an end."""
        assert check([*sent("1"), start("1"), *run("1")]).is_clean

    def test_sessions_run_side_by_side(self) -> None:
        """Only runs of one session exclude each other."""
        first, second = start("1"), start("1", session="bob")
        events = [*sent("1"), *sent("1", session="bob"), first, second, end(second), end(first)]
        assert check(events).is_clean

    def test_a_duplicate_send_is_handled_once(self) -> None:
        """The second send of an id adds no promise."""
        assert check([*sent("1"), *sent("1", status="duplicate"), *run("1")]).is_clean


class TestLost:
    """LOST."""

    def test_it_finds_what_was_never_handled(self) -> None:
        """Accepted and in no run."""
        report = check([*sent("1", "2"), *run("1")])
        assert report.violations == (Lost("ada", "batch", "2"),)

    def test_it_finds_what_was_only_tried(self) -> None:
        """A failed and a killed run handle nothing."""
        assert found(check([*sent("1"), *run("1", ok=False), start("1")])) == {"LOST"}

    def test_it_finds_a_command_of_the_same_id(self) -> None:
        """A handled message does not stand for the command."""
        report = check([*sent("1"), *sent("1", kind="command"), *run("1")])
        assert report.violations == (Lost("ada", "command", "1"),)

    def test_it_finds_what_only_a_retried_send_was_told_of(self) -> None:
        """The reply to the first send was lost: ``duplicate`` says that it was stored."""
        assert found(check(sent("1", status="duplicate"))) == {"LOST"}

    @pytest.mark.parametrize("place", ["waiting", "dead", "taken"])
    def test_what_is_elsewhere_is_not_lost(self, place: str) -> None:
        """Waiting, dead-lettered and taken away are known places."""
        places = {place: {("ada", "1")}}
        assert check(sent("1"), now=0, **places).is_clean  # type: ignore[arg-type]

    def test_what_was_ignored_is_not_lost(self) -> None:
        """An ignored send stored nothing."""
        assert check(sent("1", status="ignored")).is_clean


class TestDup:
    """DUP."""

    def test_it_finds_two_successful_runs(self) -> None:
        """Handled again after it was handled."""
        (dup,) = check([*sent("1", "2"), *run("1"), *run("1", "2")]).violations
        assert isinstance(dup, Dup)
        assert (dup.session, dup.id, len(dup.runs)) == ("ada", "1", 2)

    def test_it_finds_an_id_twice_in_one_batch(self) -> None:
        """One run can hold a message twice."""
        assert found(check([*sent("1"), *run("1", "1")])) == {"DUP"}

    def test_the_same_id_in_two_sessions_is_no_duplicate(self) -> None:
        """Ids are a session's own."""
        events = [*sent("1"), *sent("1", session="bob"), *run("1"), *run("1", session="bob")]
        assert check(events).is_clean


class TestReorder:
    """REORDER."""

    def test_it_finds_batches_in_the_wrong_order(self) -> None:
        """A later message overtook."""
        (reorder,) = check([*sent("1", "2"), *run("2"), *run("1")]).violations
        assert isinstance(reorder, Reorder)
        assert (reorder.id, reorder.after) == ("1", "2")

    def test_it_finds_the_wrong_order_within_a_batch(self) -> None:
        """A batch has send order, too."""
        assert found(check([*sent("1", "2"), *run("2", "1")])) == {"REORDER"}

    def test_it_finds_a_retry_that_newer_messages_passed(self) -> None:
        """Only the successful run counts."""
        assert found(check([*sent("1", "2"), *run("1", ok=False), *run("2"), *run("1")])) == {"REORDER"}

    def test_a_repetition_is_left_to_dup(self) -> None:
        """One fault, one finding."""
        assert found(check([*sent("1", "2"), *run("1", "2"), *run("1")])) == {"DUP"}

    def test_a_jumping_command_has_no_order(self) -> None:
        """It may pass messages and other commands."""
        commands = sent("7", "8", kind="command")
        events = [*sent("1"), *commands, *run("8", kind="command"), *run("7", kind="command"), *run("1")]
        assert check(events).is_clean

    def test_a_command_in_line_has_its_place(self) -> None:
        """The same history is wrong where commands are a barrier."""
        events = [*sent("1"), *sent("7", kind="command"), *run("7", kind="command"), *run("1")]
        assert found(check(events, command_order="in_line")) == {"REORDER"}


class TestOverlap:
    """OVERLAP."""

    def test_it_finds_two_batches_at_once(self) -> None:
        """The second began before the first had ended."""
        first, second = start("1"), start("2")
        (overlap,) = check([*sent("1", "2"), first, second, end(first), end(second)]).violations
        assert isinstance(overlap, Overlap)
        assert (overlap.first.start, overlap.second.start) == (first, second)

    def test_it_finds_a_run_inside_another(self) -> None:
        """Three runs, two of them within the long one."""
        long = start("1")
        events = [*sent("1", "2", "3"), long, *run("2"), *run("3"), end(long)]
        assert len(check(events).of("OVERLAP")) == 2

    def test_the_same_millisecond_is_no_overlap(self) -> None:
        """The order of the lines decides, not the clocks."""
        assert check([*sent("1", "2"), *run("1", at=5), *run("2", at=5)]).is_clean

    def test_a_command_may_run_beside_a_batch(self) -> None:
        """Jumping is its purpose."""
        batch = start("1")
        events = [*sent("1"), *sent("7", kind="command"), batch, *run("7", kind="command"), end(batch)]
        assert check(events).is_clean
        assert found(check(events, command_order="in_line")) == {"OVERLAP"}


class TestStuck:
    """STUCK."""

    def stuck(self, events: Iterable[Event], now: int) -> tuple[object, ...]:
        """Judge a history after which message 2 of ada waits, with a bound of ten seconds."""
        return check(events, waiting={("ada", "2")}, bound=10, now=now).violations

    def test_it_finds_a_session_in_which_nothing_starts(self) -> None:
        """A message waits for longer than the bound."""
        assert self.stuck(sent("2", at=1_000), now=12_000) == (Stuck("ada", 1, 11.0),)

    def test_it_finds_a_session_that_was_stranded_at_the_end_of_a_run(self) -> None:
        """The last run ended, nothing followed."""
        began = start("1", at=2_000)
        events = [*sent("1", at=1_000), began, *sent("2", at=1_500), end(began, at=3_000)]
        assert self.stuck(events, now=14_000) == (Stuck("ada", 1, 11.0),)

    def test_it_finds_what_was_waiting_when_nobody_recorded_its_send(self) -> None:
        """Where nothing is known of the session, nothing has started."""
        assert found(check([], waiting={("ada", "2")})) == {"STUCK"}

    def test_a_message_that_has_just_arrived_is_not_stuck(self) -> None:
        """The bound counts from its arrival, not from an old run."""
        events = [*sent("1"), *run("1", at=1_000), *sent("2", at=90_000)]
        assert self.stuck(events, now=95_000) == ()

    def test_a_session_whose_run_has_just_ended_is_not_stuck(self) -> None:
        """The bound counts from the end of the run that the message waited for."""
        began = start("1", at=1_000)
        events = [*sent("1"), began, *sent("2", at=2_000), end(began, at=90_000)]
        assert self.stuck(events, now=95_000) == ()


class TestUnexpected:
    """UNEXPECTED."""

    def test_it_finds_an_id_that_was_never_sent(self) -> None:
        """Out of nowhere."""
        (unexpected,) = check(run("1")).violations
        assert isinstance(unexpected, Unexpected)
        assert (unexpected.id, unexpected.senders) == ("1", ())

    def test_it_finds_a_message_in_the_wrong_session(self) -> None:
        """It is lost to the one and unexpected in the other."""
        report = check([*sent("1", session="bob"), *run("1")])
        assert found(report) == {"LOST", "UNEXPECTED"}
        assert "'bob'" in str(report)

    def test_it_finds_a_message_given_to_the_command_handler(self) -> None:
        """The other handler is another place."""
        assert found(check([*sent("1"), *run("1", kind="command")])) == {"LOST", "UNEXPECTED"}

    def test_a_failed_run_counts_too(self) -> None:
        """The handler has seen it, whatever it did then."""
        assert found(check(run("1", ok=False))) == {"UNEXPECTED"}

    def test_the_order_of_send_and_run_in_the_file_does_not_matter(self) -> None:
        """A worker may write before the sender does."""
        assert check([*run("1"), *sent("1")]).is_clean


class TestReport:
    """What a report says."""

    def test_it_lists_six_checks_when_it_is_clean(self) -> None:
        """A reader sees what was looked at."""
        names = [line.split() for line in str(check([])).splitlines()]
        assert names == [[name, "none"] for name in ("LOST", "DUP", "REORDER", "OVERLAP", "STUCK", "UNEXPECTED")]

    def test_a_clean_report_asserts_in_silence(self) -> None:
        """Nothing happens."""
        check([]).assert_clean()

    def test_the_assertion_says_what_was_found(self) -> None:
        """A test at night names the message."""
        with pytest.raises(AssertionError, match="message 2 of 'ada' was accepted, never handled"):
            check(sent("2")).assert_clean()

    def test_what_is_allowed_does_not_raise(self) -> None:
        """At least once is the contract where a worker is killed."""
        report = check([*sent("1"), *run("1"), *run("1")])
        report.assert_clean(allow={"DUP"})
        with pytest.raises(AssertionError):
            report.assert_clean(allow={"LOST"})

    def test_a_long_list_is_cut(self) -> None:
        """A thousand losses fit on a page, with their number."""
        lines = str(check(sent(*map(str, range(1000))))).splitlines()
        assert lines[0].split() == ["LOST", "1000"]
        assert "980 more" in lines[21]
        assert len(lines) == 27
