"""Random schedules: the inbox gives the batches that the handler it grew out of would have given."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from celery import Celery
from hypothesis import example, given, settings
from hypothesis import strategies as st

from celery_inbox import CHAT, Batch, Inbox
from celery_inbox.testing import InboxKit

DEBOUNCE, MAX_WAIT, WINDOW = 1_000, 10_000, 60_000
"""The original's three knobs, ms: debounce_seconds, max_wait_seconds, active_time_window."""

GAPS = st.one_of(
    st.integers(0, 1_500),
    st.integers(0, 15_000),
    st.sampled_from([0, 999, 1_000, 1_001, 9_999, 10_000, 10_001, 59_000, 60_000, 60_001, 70_000]),
)
"""Milliseconds between two messages; the knobs and their neighbours more often than chance would have them."""
SCHEDULES = st.lists(st.tuples(GAPS, st.booleans()), max_size=40)
"""Pause before a message, and whether it addresses the bot."""
DURATIONS = st.sampled_from([0, 0, 300, 2_500, 15_000])
"""Milliseconds that the handler takes."""

Schedule = list[tuple[int, bool]]
Batches = list[tuple[int, list[int]]]
"""When each batch started, ms after the beginning, and its messages."""


class Original:
    """The in-process handler's rules, with the two repairs: one batch at a time, and ``max_wait`` always caps.

    A message that addresses the bot opens the window and (re)starts the timer with the debounce. One that does not is
    dropped outside the window; inside it joins what waits, and starts the timer with ``max_wait`` if nothing waits.
    When the timer ends, all that waits is one batch.
    """

    def __init__(self, duration: int) -> None:
        self.duration = duration
        self.waiting: list[int] = []
        self.timer = self.deadline = self.free_at = 0
        self.addressed_at: int | None = None
        self.batches: Batches = []

    def pass_until(self, now: int) -> None:
        """Let the timer end: once the handler is free."""
        while self.waiting and max(self.timer, self.free_at) <= now:
            start = max(self.timer, self.free_at)
            self.batches.append((start, self.waiting))
            self.waiting, self.free_at = [], start + self.duration

    def hear(self, now: int, number: int, is_active: bool) -> None:
        """Take a message."""
        self.pass_until(now)
        is_outside = self.addressed_at is None or now - self.addressed_at > WINDOW
        if not is_active and is_outside:
            return
        if not self.waiting:
            self.deadline = self.timer = now + MAX_WAIT
        if is_active:
            self.addressed_at = now
            self.timer = min(now + DEBOUNCE, self.deadline)
        self.waiting.append(number)


def by_the_original(schedule: Schedule, duration: int) -> Batches:
    """What the original would have handled."""
    original, now = Original(duration), 0
    for number, (gap, is_active) in enumerate(schedule):
        now += gap
        original.hear(now, number, is_active)
    original.pass_until(now + 1_000_000)
    return original.batches


class Bot:
    """An inbox with the preset for chats, whose handler takes its time while people go on writing."""

    def __init__(self, schedule: Schedule, duration: int) -> None:
        self.lines: Iterator[tuple[int, int, bool]] = self.timed(schedule)
        self.upcoming = next(self.lines, None)
        self.duration = duration
        self.batches: Batches = []
        self.inbox = Inbox(Celery("original", set_as_current=False), "chat", **CHAT)
        self.inbox.handler(name="reply")(self.reply)

    def timed(self, schedule: Schedule) -> Iterator[tuple[int, int, bool]]:
        """Moments, numbers, and whether they address the bot."""
        moments = itertools.accumulate(gap for gap, _ in schedule)
        for number, (moment, (_, is_active)) in enumerate(zip(moments, schedule, strict=True)):
            yield moment, number, is_active

    def now(self) -> int:
        """Milliseconds since the beginning."""
        return self.kit.clock.now - self.kit.clock.started_at

    def reply(self, batch: Batch) -> None:
        """Take as long as it takes."""
        self.batches.append((self.now(), [message.body for message in batch]))
        self.live_until(self.now() + self.duration)

    def live_until(self, end: int) -> None:
        """Let people write until then."""
        while self.upcoming is not None and self.upcoming[0] <= end:
            moment, number, is_active = self.upcoming
            self.kit.clock.advance(max(moment - self.now(), 0) / 1000)
            if self.upcoming is not None and self.upcoming[1] == number:
                self.upcoming = next(self.lines, None)
                self.inbox.send("ada", number, active=is_active)
        self.kit.clock.advance(max(end - self.now(), 0) / 1000)

    def play(self) -> Batches:
        """Live through the schedule."""
        with InboxKit(self.inbox) as self.kit:
            self.live_until(1_000_000_000)
            self.kit.assert_nothing_waiting()
        return self.batches


@settings(deadline=None, max_examples=300)
@example(schedule=[(0, True), *[(900, True)] * 30], duration=0)
@example(schedule=[(0, True), (0, False), (60_000, False), (1, False), (1, True)], duration=0)
@example(schedule=[(0, True), (1_000, True), (100, False), (100, True)], duration=2_500)
@given(schedule=SCHEDULES, duration=DURATIONS)
def test_the_original_rules_give_the_same_batches(schedule: Schedule, duration: int) -> None:
    """Same messages in the same batches at the same moments, with handlers that are quick or slow."""
    assert Bot(schedule, duration).play() == by_the_original(schedule, duration)


def test_the_repairs_show() -> None:
    """Where the original went wrong: a steady sender is capped, and a slow handler is not overtaken."""
    steady: Schedule = [(0, True), *[(900, True)] * 20]
    first, _ = by_the_original(steady, 0)[0]
    assert first == MAX_WAIT
    starts = [start for start, _ in by_the_original(steady, 15_000)]
    assert starts == [10_000, 25_000]
