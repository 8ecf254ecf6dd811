"""A process that sends when it is told to: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, NamedTuple

Peer = Literal["inbox", "each", "together"]
MANY = 100


class Sent(NamedTuple):
    """What sending cost."""

    cpu: float
    """Processor seconds of the producer."""
    wall: float
    """Seconds."""


class Producer:
    """The near end of such a process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.producer"],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, peer: Peer, messages: int, burst: int, many: bool) -> None:
        """Have messages sent: bursts of so many per session, by ``send_many`` if ``many``."""
        assert self._process.stdin is not None
        print(json.dumps([peer, messages, burst, many]), file=self._process.stdin, flush=True)

    def finish(self) -> Sent:
        """Wait until they are sent."""
        assert self._process.stdout is not None
        return Sent(*json.loads(self._process.stdout.readline()))

    def send(self, peer: Peer, messages: int, burst: int, many: bool = True) -> Sent:
        self.start(peer, messages, burst, many)
        return self.finish()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._process.communicate()


def sessions(messages: int, burst: int) -> Iterator[str]:
    """The session of each message, one burst after the other."""
    return (f"telegram:{number // burst}" for number in range(messages))


def senders(many: bool) -> dict[Peer, Callable[[Iterator[str]], object]]:
    """How each peer sends; those that have nothing for many send one after the other."""
    from benchmarks.app import BODY, each, inbox, together

    def one_by_one(send: Callable[[str, Any], object]) -> Callable[[Iterator[str]], object]:
        def send_all(names: Iterator[str]) -> None:
            for name in names:
                send(name, BODY)

        return send_all

    def in_hundreds(names: Iterator[str]) -> None:
        while some := list(islice(names, MANY)):
            inbox.send_many([(name, BODY) for name in some])

    return {
        "inbox": in_hundreds if many else one_by_one(inbox.send),
        "each": one_by_one(each.delay),
        "together": one_by_one(together.delay),
    }


def main() -> None:
    """Send what standard input says until it ends."""
    for line in sys.stdin:
        peer, messages, burst, many = json.loads(line)
        send = senders(many)[peer]
        cpu_began, began = time.process_time(), time.perf_counter()
        send(sessions(messages, burst))
        print(json.dumps([time.process_time() - cpu_began, time.perf_counter() - began]), flush=True)


if __name__ == "__main__":
    main()
