"""Follows what handlers do, and judges each session when nothing of it is left.

So an hour needs no more memory than a minute.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from celery_inbox import StorageUnavailable
from celery_inbox.testing import Ended, Event, Run, Sent, check, runs
from celery_inbox.testing.history import now_ms
from celery_inbox.testing.violations import Check
from faults.processes import is_alive
from soak.causes import Causes
from soak.conversations import Conversation
from soak.ground import INTERVAL, LEASE, Side
from soak.load import Load
from soak.strikes import Strikes

Kind: TypeAlias = Literal["batch", "command"]
BOUND = 2 * LEASE + INTERVAL + 8
"""Seconds without a start after which a session is stuck: a lease, one more after an outage, the longest backoff, and
what a busy machine needs."""
QUIET = 500
"""Milliseconds after its last word from which on a session is looked at."""
LISTED = 500
"""Dead letters that are read at once."""
KINDS: dict[str, Kind] = {"m": "batch", "c": "command"}


class Broken(Exception):
    """A promise was broken."""


@dataclass(slots=True)
class Case:
    """One session until its judgement."""

    conversation: Conversation
    events: list[Event] = field(default_factory=list)
    commits: set[tuple[str, int]] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)

    @property
    def session(self) -> str:
        return self.conversation.session

    def missing(self) -> list[tuple[Kind, str]]:
        """What was stored, and is not known to have ended."""
        ended = {(run.kind, id) for run in runs(self.events) if run.is_successful for id in run.ids}
        elsewhere = self.dead | self.conversation.ledger.taken
        return [key for key in self.conversation.sent if key not in ended and key[1] not in elsewhere]

    def has_unheard_commands(self) -> bool:
        """Whether a command has no acknowledged run, and is nowhere else."""
        heard = {id for run in runs(self.events) if (run.kind, run.start.fence) in self.commits for id in run.ids}
        elsewhere = self.dead | self.conversation.ledger.taken
        return any(kind == "command" and id not in heard | elsewhere for kind, id in self.conversation.sent)

    def busy_until(self) -> int:
        """When it was last seen to move, Unix ms; now, while a handler runs."""
        last = max((event.at for event in self.events if not isinstance(event, Sent)), default=0)
        open_runs = [run for run in runs(self.events) if run.end is None and is_alive(run.start.pid)]
        return now_ms() if open_runs else max(last, self.conversation.paused_until)


class Judge:
    """The judge of one side."""

    def __init__(self, side: Side, load: Load, strikes: Strikes) -> None:
        self.side = side
        self.load = load
        self.excused: Counter[tuple[Check, str]] = Counter()
        """Violations that a fault excuses, by check and fault."""
        self.judged = self.accepted = self.runs = self.events = 0
        """Sessions, their messages, their runs; lines of the history."""
        self.taken: Counter[str] = Counter()
        """Messages by what became of them other than being handled."""
        self._causes = Causes(strikes, side.name)
        self._cases: dict[str, Case] = {}
        self._closed: set[str] = set()
        self._letters: set[str] = set()
        self._read = 0

    @property
    def open(self) -> int:
        """Sessions that are not judged yet."""
        return len(self._cases) + len(self.load.begun)

    def look(self) -> None:
        """Read on, and judge what is quiet.

        Raises:
            Broken: A promise was.
        """
        self._adopt()
        try:
            # In this order: what is gone from the inbox stands in the record by then.
            quiet = [case for case in self._cases.values() if self._is_quiet(case)]
            self._read_letters()
        except StorageUnavailable:
            quiet = []
        self._read_on()
        for case in quiet:
            self._close(case)

    def _adopt(self) -> None:
        while self.load.begun:
            conversation = self.load.begun.popleft()
            self._cases[conversation.session] = Case(conversation)

    def _is_quiet(self, case: Case) -> bool:
        conversation = case.conversation
        return (
            conversation.is_over
            and now_ms() - conversation.last_sent_at > QUIET
            and self.side.direct.peek(case.session, 0, 0) is None
        )

    def _read_letters(self) -> None:
        for letter in self.side.direct.dead_letters(LISTED):
            case = self._cases.get(letter.session)
            if case is not None:
                case.dead |= {message.id for message in letter.messages}
            if letter.id not in self._letters:
                self._letters.add(letter.id)
                self.taken["dead"] += len(letter.messages)
            self.side.direct.purge(letter)

    def _read_on(self) -> None:
        for commit in self.side.commits.read_on():
            # One that was written late, by a process that stood meanwhile, has nothing left to tell.
            if commit.session in self._cases:
                self._cases[commit.session].commits.add((KINDS[commit.kind], commit.fence))
        record = self.side.history.read(self._read)
        self._read = record.end
        self.events += len(record.events)
        self._adopt()  # after reading, for a conversation is known before its first word
        for event in record.events:
            if event.session in self._closed:
                self._hear_late(event)
            else:
                self._cases[event.session].events.append(event)

    def _hear_late(self, event: Event) -> None:
        """What a holder that had lost its lease still does is void; nothing else may happen."""
        if isinstance(event, Ended):
            self.excused["OVERLAP", "late end"] += 1
            return
        run = Run(event, None, 0, None)  # type: ignore[arg-type]
        cause = self._causes.could_not_renew(run, event.at)
        if cause is None:
            raise Broken(f"{self.side.name}: after the end of its session: {event}")
        self.excused["OVERLAP", cause] += 1

    # Judgement.

    def _close(self, case: Case) -> None:
        if case.has_unheard_commands() and self._idle(case, 0) < BOUND:
            return  # a jump command is a session of its own, which peek does not show
        conversation, own_runs = case.conversation, runs(case.events)
        places = [(case.session, id) for id in case.dead | conversation.ledger.taken]
        report = check(
            case.events,
            taken=places,
            bound=float("inf"),
            command_order=self.side.direct.settings.command_order,
        )
        committed = {run for run in own_runs if (run.kind, run.start.fence) in case.commits}
        for violation in report.violations:
            cause = self._causes.of(violation, committed)
            if cause is None:
                raise self._broken(case, f"{violation.check}: {violation}")
            self._excuse(case, f"{violation.check}: {violation}", cause)
            self.excused[violation.check, cause] += 1
        for complaint in (*self._ends(case, committed), *self._fences(own_runs)):
            raise self._broken(case, complaint)
        self.judged += 1
        self.accepted += len(conversation.sent)
        self.runs += len(own_runs)
        self.taken.update(
            dropped=len(conversation.ledger.dropped),
            removed=len(conversation.ledger.removed),
            perhaps=len(conversation.ledger.perhaps),
            cancellable=len(conversation.ledger.cancellable),
        )
        del self._cases[case.session]
        self._closed.add(case.session)

    def _excuse(self, case: Case, complaint: str, cause: str) -> None:
        """Write down what was excused, for people who doubt it."""
        with (self.side.history.path.with_suffix(".excused")).open("a") as file:
            strikes = [str(strike) for strike in self._causes.during(case.events[0].at, case.events[-1].at)]
            file.write("\n".join([f"{cause}: {complaint}", *strikes, *map(str, case.events), "", ""]))

    def _ends(self, case: Case, committed: set[Run]) -> Iterator[str]:
        """A message ends once: acknowledged, dead, dropped or removed; and nothing begins after its ack."""
        acknowledged = Counter((run.kind, id) for run in committed for id in run.ids)
        ledger = case.conversation.ledger
        for (kind, id), times in acknowledged.items():
            others = [name for name in ("dropped", "removed") if id in getattr(ledger, name)]
            others += ["dead"] if id in case.dead else []
            if times > 1 or others:
                yield f"ENDS: {kind} {id} was acknowledged {times} times {' and '.join(['', *others])}"
        for run in runs(case.events):
            for heard in committed:
                is_after = heard.ended is not None and heard.ended < run.began
                if is_after and run.kind == heard.kind and {*run.ids} & {*heard.ids}:
                    cause = self._causes.could_not_renew(run, run.start.at)
                    if cause is None:
                        yield f"ENDS: {run} began after the ack of {heard}"

    def _fences(self, own_runs: list[Run]) -> Iterator[str]:
        """Fences of a session grow, save that of a holder that stood between its claim and its start."""
        highest = 0
        for run in own_runs:
            if run.kind == "command":
                continue
            if run.start.fence <= highest and not self._causes.could_not_renew(run, run.start.at):
                yield f"FENCE: {run} began after a run with fence {highest}"
            highest = max(highest, run.start.fence)

    def _broken(self, case: Case, complaint: str) -> Broken:
        lines = [f"{self.side}: {complaint}", f"missing: {case.missing()}", f"{case.conversation.ledger}"]
        lines += [f"dead: {sorted(case.dead)}", f"commits: {sorted(case.commits)}"]
        return Broken("\n".join([*lines, *map(str, case.events)]))

    # Calm.

    def assert_moving(self, calm_since: int) -> None:
        """Every session with something to do has moved of late, or has had no time to since all faults ended.

        Args:
            calm_since: Unix ms.

        Raises:
            Broken: One is stuck, or has lost what it had.
        """
        for case in list(self._cases.values()):
            if self._idle(case, calm_since) > BOUND and (missing := case.missing()):
                try:
                    view = self.side.direct.peek(case.session, 0, 0)
                    states = [info for info in self.side.direct.sessions() if info.session == case.session]
                except StorageUnavailable:
                    continue
                if view is not None and view.stopped:
                    continue
                word = "STUCK" if states else "LOST"
                raise self._broken(case, f"{word}: {len(missing)} messages, nothing started for {BOUND} s: {states}")

    def _idle(self, case: Case, calm_since: int) -> float:
        """Seconds since anything could have started."""
        missing = case.missing()
        sent_at = min((case.conversation.sent[key] for key in missing), default=0)
        return (now_ms() - max(sent_at, case.busy_until(), calm_since)) / 1000

    def drain(self, timeout: float) -> None:
        """Wait until every session is judged, then add everything up.

        Raises:
            Broken: Something is left, or the sum is wrong.
        """
        calm_since, ends_at = now_ms(), time.monotonic() + timeout
        while self.open and time.monotonic() < ends_at:
            self.look()
            self.assert_moving(calm_since)
            time.sleep(0.2)
        if self.open:
            case = next(iter(self._cases.values()))
            raise self._broken(case, f"{self.open} sessions are not done after {timeout} s")
        for complaint in self._sums():
            raise Broken(f"{self.side}: {complaint}")

    def _sums(self) -> Iterator[str]:
        """Promise 8, at rest."""
        self._read_letters()
        stats, taken = self.side.direct.stats(), self.taken
        ended = stats.handled + stats.dead + stats.dropped + stats.removed + stats.cancelled + stats.quarantined
        left = stats.pending or stats.due or stats.running or stats.stopped or stats.dead_letters
        if left or stats.accepted != ended:
            yield f"accepted is not handled + dead + dropped + removed + cancelled + quarantined: {stats}"
        if stats.accepted != self.accepted:
            yield f"{self.accepted} messages were sent, {stats.accepted} accepted: {stats}"
        if stats.quarantined or stats.newer or stats.ids_evicted or stats.dead_evicted:
            yield f"something was set aside: {stats}"
        for name in ("dropped", "removed"):
            if not taken[name] <= getattr(stats, name) <= taken[name] + taken["perhaps"]:
                yield f"{taken[name]} messages were {name}, {getattr(stats, name)} counted: {stats}"
        if stats.cancelled > taken["cancellable"]:
            yield f"{taken['cancellable']} messages could be cancelled, {stats.cancelled} were: {stats}"
        if stats.dead != taken["dead"]:
            yield f"{taken['dead']} messages were in dead letters, {stats.dead} counted: {stats}"
