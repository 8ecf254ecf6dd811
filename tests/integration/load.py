"""Load with a timetable: a producer's own pauses, which wait for nobody."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class Call(NamedTuple):
    """Something to do."""

    at: float
    """Seconds after the start."""
    do: Callable[[], object]


def play(calls: Iterable[Call]) -> None:
    """Make the calls in the order of their times, each as early as its time allows."""
    start = time.monotonic()
    for call in sorted(calls, key=lambda call: call.at):
        time.sleep(max(start + call.at - time.monotonic(), 0))
        call.do()


def play_in_threads(parts: Iterable[Iterable[Call]]) -> None:
    """Play several timetables at once, each in a thread of its own.

    Raises:
        Exception: The first error of a call.
    """
    timetables = [list(part) for part in parts]
    with ThreadPoolExecutor(len(timetables)) as pool:
        for played in [pool.submit(play, timetable) for timetable in timetables]:
            played.result()
