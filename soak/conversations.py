"""What people say and do in one session: bursts, steady talk, commands, second thoughts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from celery_inbox import StorageUnavailable
from celery_inbox.testing.events import Kind
from celery_inbox.testing.history import now_ms
from soak.ground import Side

T = TypeVar("T")

PATIENCE = 0.1
"""Seconds before a call is made again that Redis did not answer."""


@dataclass(slots=True)
class Ledger:
    """What calls took out of a session, and which calls nobody knows the end of."""

    dropped: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    perhaps: set[str] = field(default_factory=set)
    """What a ``drop`` or ``remove`` without an answer may have taken."""
    cancellable: set[str] = field(default_factory=set)
    """What had been sent when a ``cancel`` was heard, or perhaps was."""

    @property
    def taken(self) -> set[str]:
        """Everything that the inbox need not have handled."""
        return self.dropped | self.removed | self.perhaps | self.cancellable


class Conversation:
    """One session from its first message to its last; a generator of pauses, in seconds."""

    def __init__(self, side: Side, session: str, dice: Random) -> None:
        self.side = side
        self.session = session
        self.dice = dice
        self.ledger = Ledger()
        self.sent: dict[tuple[Kind, str], int] = {}
        """What was stored, and when the send returned, Unix ms."""
        self.paused_until = 0
        """Unix ms; until then nothing need start."""
        self.refused = 0
        """Calls that had to be made again."""
        self.last_sent_at = 0
        """Unix ms."""
        self.is_ending = False
        """Whether to come to an end."""
        self.is_over = False

    # Talk.

    def talk(self) -> Iterator[float]:
        """Go through the session's life."""
        for _ in range(self.dice.randint(1, 4)):
            if self.is_ending:
                break
            manner = self.dice.choices(
                [self.burst, self.steady, self.commands, self.second_thoughts, self.break_], [8, 3, 2, 4, 1]
            )[0]
            yield from manner()
            yield self.dice.uniform(0.2, 4)
        if self.paused_until:
            self._resume()
        self.is_over = True

    def burst(self) -> Iterator[float]:
        """A few lines within a second."""
        for _ in range(self.dice.randint(1, 12)):
            self._say()
            yield self.dice.uniform(0, 0.15)

    def steady(self) -> Iterator[float]:
        """One who never makes a pause as long as the debounce."""
        for _ in range(self.dice.randint(10, 25)):
            self._say()
            yield 0.2

    def commands(self) -> Iterator[float]:
        """Orders between the lines."""
        for _ in range(self.dice.randint(1, 3)):
            self._order()
            yield self.dice.uniform(0, 0.3)
            self._say()
            yield 0.05

    def break_(self) -> Iterator[float]:
        """Silence with somebody typing."""
        self._say()
        for _ in range(3):
            yield 0.2
            self._try(lambda: self.side.senders.touch(self.session))

    def second_thoughts(self) -> Iterator[float]:
        """What people do to a session besides talking."""
        yield from self.burst()
        deed = self.dice.choice(
            [self._flush, self._cancel, self._pause, self._resume, self._drop, self._remove, self._repeat, self._cancel]
        )
        deed()
        yield self.dice.uniform(0, 1)
        if self.dice.random() < 0.5:
            self._say()

    # Calls.

    def _say(self) -> None:
        body = self._body()
        flush = self.dice.random() < 0.05
        if self.dice.random() < 0.1:
            self._send(None, body, flush)
        else:
            id = f"m{len(self.sent)}"
            self._send(id, body, flush)
            if self.dice.random() < 0.05:
                self._send(id, body, flush)

    def _send(self, id: str | None, body: dict[str, Any], flush: bool) -> None:
        name = id
        while True:
            try:
                receipt = self.side.senders.send(self.session, body, id=name, flush=flush)
            except StorageUnavailable as error:
                name = error.id
                self._wait()
            else:
                break
        self.side.history.sent(self.session, receipt, kind="batch")
        self._note("batch", receipt.id)

    def _order(self) -> None:
        id = f"c{len(self.sent)}"
        body = self._body()
        receipt = self._insist(lambda: self.side.senders.send_command(self.session, body, id=id))
        self.side.history.sent(self.session, receipt, kind="command")
        self._note("command", receipt.id)

    def _note(self, kind: Kind, id: str) -> None:
        self.last_sent_at = now_ms()
        self.sent.setdefault((kind, id), self.last_sent_at)

    def _repeat(self) -> None:
        """A webhook delivered again."""
        known = [id for kind, id in self.sent if kind == "batch" and id.startswith("m")]
        for id in self.dice.sample(known, min(3, len(known))):
            self._send(id, {}, False)

    def _flush(self) -> None:
        self._try(lambda: self.side.senders.flush(self.session))

    def _cancel(self) -> None:
        before = self._sent_ids()
        try:
            heard = self.side.senders.cancel(self.session)
        except StorageUnavailable:
            heard = True
        if heard:
            self.ledger.cancellable |= before

    def _pause(self) -> None:
        seconds = self.dice.uniform(0.5, 6)
        self._try(lambda: self.side.senders.pause(self.session, seconds))
        self.paused_until = now_ms() + int(1000 * seconds)

    def _resume(self) -> None:
        self._insist(lambda: self.side.senders.resume(self.session))
        self.paused_until = 0

    def _drop(self) -> None:
        before = self._sent_ids()
        try:
            self.ledger.dropped |= {message.id for message in self.side.senders.drop(self.session)}
        except StorageUnavailable:
            self.ledger.perhaps |= before

    def _remove(self) -> None:
        id = self.dice.choice(sorted(self._sent_ids()))
        try:
            if self.side.senders.remove(self.session, id):
                self.ledger.removed.add(id)
        except StorageUnavailable:
            self.ledger.perhaps.add(id)

    def _sent_ids(self) -> set[str]:
        return {id for _, id in self.sent}

    def _try(self, call: Callable[[], object]) -> None:
        """Make a call whose failure nobody minds."""
        try:
            call()
        except StorageUnavailable:
            self.refused += 1

    def _insist(self, call: Callable[[], T]) -> T:
        """Make a call until it is answered; it is one that may be made twice."""
        while True:
            try:
                return call()
            except StorageUnavailable:
                self._wait()

    def _wait(self) -> None:
        self.refused += 1
        time.sleep(PATIENCE)

    # Bodies.

    def _body(self) -> dict[str, Any]:
        deed = self.dice.choices(
            ["nothing", "work", "slow", "fail", "doom", "reject", "ignore", "spin", "await cancel", "take new"],
            [50, 25, 2, 4, 0.7, 0.3, 1, 2, 0.5, 4],
        )[0]
        text = "x" * int(self.dice.paretovariate(1.2) * 10) if self.dice.random() < 0.99 else "x" * 20_000
        body: dict[str, Any] = {"text": text[:20_000], "do": deed}
        match deed:
            case "work":
                body["seconds"] = self.dice.uniform(0, 0.05)
            case "slow":
                body["seconds"] = self.dice.uniform(0.5, 2)
            case "fail":
                body["attempts"] = self.dice.randint(1, 2)
            case "doom":
                body |= {"do": "fail", "attempts": 99}
            case "spin":
                body["spin"] = self.dice.uniform(0, 0.1)
            case "take new":
                body["seconds"] = self.dice.uniform(0, 0.5)
        return body
