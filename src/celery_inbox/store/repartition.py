"""Moves the sessions of an inbox to another number of partitions.

The partitions may lie on different servers of a cluster, so this process carries the sessions. All partitions are
frozen first, so nothing changes under way: each step can be done twice, and whoever comes after an interruption does
all steps again. A ticket names the repartition in every frozen partition, and a process that was overtaken is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal, NamedTuple, TypeVar

from celery_inbox.errors import ConfigurationError
from celery_inbox.store import replies
from celery_inbox.store.connection import overtaken, storage_errors
from celery_inbox.store.keys import home_of, partition_of_letter
from celery_inbox.store.moves import LOOK_AT
from celery_inbox.store.redis import RedisStore
from celery_inbox.store.scripts import script
from celery_inbox.store.server import recorded

T = TypeVar("T")
Phase = Literal["freezing", "moving", "ending", "given_up"]
CARRY = 20
"""Sessions that are carried at once; each may be as large as ``max_pending_bytes``."""
SCAN = 1000
"""Keys that the server looks at per call."""
DIGEST = 40
"""Digits of a session's digest."""


@dataclass(slots=True)
class Moved:
    """What has got another partition."""

    sessions: int = 0
    """Sessions, with messages or only with remembered ids or marks."""
    letters: int = 0
    """Dead letters."""


class Stray(NamedTuple):
    """Something that lies in a partition where it does not belong any more."""

    name: str
    """Digest of a session, or id of a dead letter."""
    here: str
    home: str


class Repartition:
    """One change of the number of partitions.

    Args:
        store: The inbox's; the number of partitions in its terms does not matter.
        old: The number that is recorded.
        new: The number to come.
    """

    def __init__(self, store: RedisStore, old: int, new: int) -> None:
        self.store = store
        self.old = old
        self.new = new
        self.moved = Moved()
        self._ticket = ""
        self._partitions = [str(number) for number in range(max(old, new))]

    def run(self, progress: Callable[[Moved], object]) -> Moved:
        """Do all of it, or what an interrupted run has left to do.

        Args:
            progress: Is called after every few sessions.

        Raises:
            ConfigurationError: The numbers do not fit what is recorded, a worker lives, or a batch runs; nothing was
                moved and sends go on as before.
            StorageUnavailable: Redis did not answer; run it again.
        """
        phase = self._begin()
        if phase == "given_up":
            self._open(self.old)
            phase = self._begin()
        if phase == "freezing":
            self._freeze()
        if phase != "ending":
            self._carry(progress)
            self._go_on("moving", "ending")
        self._open(self.new)
        return self.moved

    # Freezing.

    def _begin(self) -> Phase:
        known, moving, ticket, phase = self.store.ask_inbox(
            "repartition_begin", old=self.old, new=self.new, ticket=os.urandom(8).hex()
        )
        if known is None:
            raise ConfigurationError("nothing is recorded yet: set inbox_partitions, there is nothing to move")
        if int(known) != self.old:
            raise ConfigurationError(f"Redis has recorded {int(known)} partitions, not {self.old}")
        if moving is None:
            raise ConfigurationError(f"Redis has recorded {self.old} partitions already")
        if int(moving) != self.new:
            raise ConfigurationError(
                f"a repartition from {self.old} to {int(moving)} was begun: "
                f"end it with: celery -A proj inbox repartition {self.old} {int(moving)}"
            )
        self._ticket = replies.text(ticket)
        found: Any = replies.text(phase)
        return found  # type: ignore[no-any-return]

    def _freeze(self) -> None:
        """Keep everybody out, or give up.

        A worker that starts from now on finds the repartition recorded and does not begin.
        """
        if living := self.store.workers():
            names = ", ".join(sorted({serving.hostname for serving in living}))
            self._give_up(
                f"workers live: {names}; stop them first (one that was killed is listed for "
                f"{self.store.terms.lease / 1000:g} s)"
            )
        running = self._in_all("freeze")
        if any(running):
            busy = ", ".join(name for name, many in zip(self._partitions, running, strict=True) if many)
            self._give_up(
                f"batches run: {sum(map(int, running))}, in partitions {busy}; wait for them, "
                f"or {self.store.terms.lease / 1000:g} s for the lease of one whose worker was killed"
            )
        self._go_on("freezing", "moving")

    def _give_up(self, why: str) -> None:
        self._go_on("freezing", "given_up")
        self._open(self.old)
        raise ConfigurationError(f"nothing was moved: {why}")

    def _go_on(self, before: Phase, after: Phase) -> None:
        if not self._phase(before, after):
            known = recorded(self.store)
            if "moving" not in known:
                # It was over before this process froze anything.
                self._in_all("thaw", layout=known["partitions"])
            raise overtaken()

    def _phase(self, before: Phase, after: Phase) -> bool:
        return bool(self.store.ask_inbox("repartition_phase", ticket=self._ticket, before=before, after=after))

    def _open(self, partitions: int) -> None:
        """Let everybody in who knows this number."""
        self._in_all("thaw", layout=partitions)
        self.store.ask_inbox("repartition_end", ticket=self._ticket, partitions=partitions)

    def _in_all(self, name: str, **given: Any) -> list[Any]:
        arguments = script(name).arguments(ticket=self._ticket, **given)
        return self.store.ask(name, [(partition, arguments) for partition in self._partitions])

    # Carrying.

    def _carry(self, progress: Callable[[Moved], object]) -> None:
        for some in pages(self._stray_sessions(), CARRY):
            self.moved.sessions += self._carry_some("session", some)
            progress(self.moved)
        for partition in self._partitions[: self.old]:
            for some in pages(self._stray_letters(partition), CARRY):
                self.moved.letters += self._carry_some("letter", some)
                progress(self.moved)
        for partition in self._partitions[: self.old]:
            self._carry_rest(partition)

    def _stray_sessions(self) -> Iterator[Stray]:
        """Find the keys of sessions: no list names those that have no messages and only marks."""
        prefix = self.store.inbox_prefix[: -len("}")]
        key = re.compile(rf"{re.escape(prefix)}\.(\d+)}}:[a-z]+:([0-9a-f]{{{DIGEST}}})".encode())
        with storage_errors():
            servers = self.store.link.servers()
            for found in chain.from_iterable(each.scan_iter(match=f"{prefix}.*", count=SCAN) for each in servers):
                if named := key.fullmatch(found):
                    here, digest = named[1].decode(), named[2].decode()
                    home = home_of(digest, self.new)
                    if here != home and int(here) < self.old:
                        yield Stray(digest, here, home)

    def _stray_letters(self, partition: str) -> list[Stray]:
        strays: list[Stray] = []
        first = 0
        while page := self.store.letters(partition, first, first + LOOK_AT - 1):
            first += len(page)
            homes = ((letter.id, partition_of_letter(letter.id, letter.session, self.new)) for letter in page)
            strays += [Stray(id, partition, home) for id, home in homes if home != partition]
        return strays

    def _carry_some(self, kind: str, strays: Sequence[Stray]) -> int:
        """Copy, then take away: whatever happens in between, they are somewhere, and the next run does it again."""
        strays = list(dict.fromkeys(strays))
        packed = self.store.ask("pack", [(stray.here, self._of(kind, stray)) for stray in strays])
        there = [(stray, parcel) for stray, parcel in zip(strays, packed, strict=True) if parcel]
        self.store.ask("place", [(stray.home, [*self._of(kind, stray), *parcel]) for stray, parcel in there])
        self.store.ask("clear", [(stray.here, self._of(kind, stray)) for stray, _ in there])
        return len(there)

    def _of(self, kind: str, stray: Stray) -> list[str]:
        return script("pack").arguments(ticket=self._ticket, kind=kind, name=stray.name)

    def _carry_rest(self, partition: str) -> None:
        """Generated ids go with their sessions; counters and quarantined elements stay, unless their partition goes."""
        goes = int(int(partition) >= self.new)
        [(generated, counts, corrupt)] = self.store.ask("pack_rest", [(partition, [self._ticket, goes])])
        by_home: dict[str, list[bytes]] = {}
        for seen, at in zip(generated[::2], generated[1::2], strict=True):
            home = home_of(seen[:DIGEST].decode(), self.new)
            if home != partition:
                by_home.setdefault(home, []).extend((seen, at))
        self.store.ask("place_generated", [(home, [self._ticket, *seen]) for home, seen in by_home.items()])
        if counts or corrupt:
            home = str(int(partition) % self.new)
            self.store.ask("merge", [(home, [self._ticket, partition, len(counts) // 2, *counts, *corrupt])])
        self.store.ask("clear_rest", [(partition, [self._ticket, goes])])


def pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut into lists of that size."""
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page
