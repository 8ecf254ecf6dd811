"""Another process's idea of the time, by Debian's libfaketime (``apt-get install faketime``)."""

from pathlib import Path


class NoFakeTime(FileNotFoundError):
    """The library is not installed."""

    def __init__(self) -> None:
        super().__init__("no libfaketime found: apt-get install faketime")


def library() -> Path:
    """Find the library for programs with threads.

    Raises:
        NoFakeTime: It is not installed.
    """
    for found in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"):
        return found
    raise NoFakeTime


def skewed(hours: float) -> dict[str, str]:
    """Environment of a process whose wall clock is wrong by so many hours; its monotonic clock is right.

    Raises:
        NoFakeTime: The library is not installed.
    """
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME": f"{hours:+g}h",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
