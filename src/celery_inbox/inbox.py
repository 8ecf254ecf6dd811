"""An inbox: its handlers, its sends, and what people do to its sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from celery_inbox.element import COMMAND, MESSAGE, CorruptElement, NewerElement, encode_id
from celery_inbox.errors import ConfigurationError, InboxFull
from celery_inbox.message import DeadLetter, Message, SessionInfo, SessionView, Stats
from celery_inbox.observe import signals
from celery_inbox.sender import Sender
from celery_inbox.settings import ms
from celery_inbox.store.keys import COMMAND_PARTITION, Address, address, command_address, partition_of_letter
from celery_inbox.store.moves import LATENESS, LOOK_AT, NEVER, SIZES, Letter, Outgoing
from celery_inbox.worker.identity import token


class Inbox(Sender):
    """A named set of sessions with one batch handler, at most one command handler, and one set of settings.

    Args:
        app: A Celery app, or the inbox's name alone to bind to every app, as ``shared_task`` does.
        name: Letters, digits, ``_ . -``; the first part of its queues' names.
        **settings: See ``celery_inbox.Settings``.

    Constructing connects to nothing.

    Raises:
        ConfigurationError: The name or a setting cannot be used.

    Every method that reaches Redis raises ``StorageUnavailable`` when it does not answer within ``socket_timeout``, and
    ``InvalidSession`` for a name that cannot be used.
    """

    # One session.

    def touch(self, session: str) -> int | None:
        """Push the debounce back without a message: somebody is typing.

        Returns:
            When the batch is due now, Unix ms; None when nothing waits or the session is not waiting for its debounce.
        """
        due_at = self.store.touch(self._address(session))
        signals.touched.send(sender=self, session=session, due_at=due_at)
        return due_at

    def flush(self, session: str) -> int:
        """Make what waits due now; a batch that waits for its next attempt is tried now.

        Returns:
            Messages that are due now; those behind a running batch are due as soon as it is settled.
        """
        flushed = self.store.flush(self._address(session))
        signals.flushed.send(sender=self, session=session, messages=flushed)
        self._moved()
        return flushed

    def cancel(self, session: str) -> bool:
        """Cancel the session's open batch.

        A running handler sees ``batch.cancelled`` within a second, an async one is cancelled at its next await; one
        that waits for its next attempt is settled at once. The handler's ``on_cancel`` says what becomes of messages.

        Returns:
            False when no batch is open.
        """
        outcome = self.store.cancel(self._address(session))
        signals.cancelled.send(sender=self, session=session, outcome=outcome)
        self._moved()
        return outcome != "nothing"

    def drop(self, session: str) -> list[Message]:
        """Take out what waits, and a batch that waits for its next attempt; a running one goes on.

        Returns:
            The messages that were taken out, in send order. Should this call die while it reads them, Redis keeps the
            rest for an hour under a key of its own.
        """
        place, ticket = self._address(session), token()
        count = self.store.drop(place, ticket)
        out: list[Message] = []
        while len(out) < count and (page := self.store.dropped(place.partition, ticket, LOOK_AT)):
            out.extend(self._readable(page))
        signals.dropped.send(sender=self, session=session, messages=len(out))
        return out

    def pause(self, session: str, for_: float | None = None) -> None:
        """Stop a session: messages collect, nothing runs; a run that is going may finish. Works on idle sessions too.

        Args:
            session: Its name.
            for_: Seconds; None until ``resume``.

        Raises:
            ConfigurationError: ``for_`` is not above 0; nothing was changed.
        """
        if for_ is not None and not for_ > 0:
            raise ConfigurationError(f"pause(for_={for_!r}): say seconds above 0, or None until resume")
        self.store.pause(self._address(session), 0 if for_ is None else max(ms(for_), 1))
        signals.paused.send(sender=self, session=session, for_=for_)

    def resume(self, session: str) -> bool:
        """Let a paused or held session go on; a held batch gets all its attempts again.

        Returns:
            False when it was not stopped.
        """
        was_stopped = self.store.resume(self._address(session))
        signals.resumed.send(sender=self, session=session, was_stopped=was_stopped)
        self._moved()
        return was_stopped

    def remove(self, session: str, id: str) -> bool:
        """Take one waiting message out: its sender took it back.

        Returns:
            False when it is too late: it runs, was handled, or never came.
        """
        removed = self.store.remove(self._address(session), encode_id(id))
        signals.removed.send(sender=self, session=session, id=id, removed=removed)
        return removed

    def replace(self, session: str, id: str, body: Any, *, headers: dict[str, Any] | None = None) -> bool:
        """Give one waiting message another body: its sender edited it. Id, place and arrival stay.

        Returns:
            False when it is too late: it runs, was handled, or never came.

        Raises:
            InvalidMessage, MessageTooLarge: The body cannot be stored; nothing was changed.
            InboxFull: The session has no room for the larger body; nothing was changed.
        """
        rule = self._rules.batch_key
        message = Outgoing(
            self._address(session),
            encode_id(id),
            False,
            self.codec.encode(body, headers),
            0,
            0,
            MESSAGE,
            "h" if headers else "-",
            "-" if rule is None else self._key(rule, body),
        )
        outcome = self.store.replace(message)
        if outcome == "full":
            view = self.store.peek(message.address, 0, 0)
            waiting = view.waiting if view else 0
            raise InboxFull(waiting, len(message.payload), self.settings.max_pending, self.settings.max_pending_bytes)
        signals.replaced.send(sender=self, session=session, id=id, replaced=outcome == "replaced")
        return outcome == "replaced"

    def peek(self, session: str, first: int = 0, last: int = 99) -> SessionView | None:
        """Read a session without changing it.

        Args:
            session: Its name.
            first: Index of the first waiting message to read.
            last: Index of the last one; -1 for all.

        Returns:
            None when the session has no messages.
        """
        view = self.store.peek(address(session, self._rules.partitions), first, last)
        if view is None:
            return None
        messages, batch = self._readable(view.elements), self._readable(view.batch)
        return SessionView(
            session,
            view.due_at,
            view.lease_end,
            view.stopped_until is not None,
            None if view.stopped_until in (None, NEVER) else view.stopped_until,
            view.waiting,
            messages,
            view.batch_id,
            view.attempt,
            batch,
            len(view.elements) + len(view.batch) - len(messages) - len(batch),
        )

    def forget(self, session: str) -> dict[str, int]:
        """Delete everything about a session: messages, commands, a running batch, dead letters, remembered ids, marks.

        A handler that runs finds its lease lost.

        Returns:
            How many ``messages``, and how many messages in ``dead`` letters, were deleted.
        """
        place = self._address(session)
        messages, dead = self.store.forget(place.partition, session, place.digest)
        commands, dead_commands = self.store.forget(COMMAND_PARTITION, session)
        forgotten = {"messages": messages + commands, "dead": dead + dead_commands}
        signals.forgotten.send(sender=self, session=session, **forgotten)
        return forgotten

    def _readable(self, elements: Iterable[bytes]) -> tuple[Message, ...]:
        """Decode for people; what no handler could read is left out and told."""
        messages = []
        for element in elements:
            try:
                messages.append(self.codec.decode(element))
            except (CorruptElement, NewerElement):
                signals.unreadable.send(sender=self, size=len(element))
        return tuple(messages)

    # All sessions.

    def sessions(self) -> Iterator[SessionInfo]:
        """List the sessions that have messages, partition by partition: due ones first, then running, then stopped.

        Sessions that move while the list is read may be missed or listed twice.
        """
        for partition in self.partition_names():
            first = 0
            while page := self.store.sessions(partition, first, LOOK_AT):
                for listed in page:
                    at = None if listed.at == NEVER else listed.at
                    yield SessionInfo(
                        listed.session, partition, listed.state, at, listed.waiting, listed.open, listed.attempt
                    )
                first += len(page)

    def stats(self) -> Stats:
        """Add up the counters and depths of all partitions."""
        names = self.partition_names()
        depths = self.store.stats(names)
        counts: dict[str, int] = {}
        for depth in depths:
            for name, count in depth.counts.items():
                counts[name] = counts.get(name, 0) + count
        ended = sum(counts.get(name, 0) for name in ENDS)
        oldest = [depth.oldest_due_at for depth in depths if depth.oldest_due_at is not None]
        return Stats(
            accepted=counts.get("accepted", 0),
            **{name: counts.get(name, 0) for name in ENDS},
            pending=counts.get("accepted", 0) - ended,
            due=sum(depth.due for depth in depths),
            running=sum(depth.leased for depth in depths),
            stopped=sum(depth.stopped for depth in depths),
            kicks=sum(depth.kicks for depth in depths),
            dead_letters=sum(depth.letters for depth in depths),
            ids_evicted=counts.get("ids_evicted", 0),
            dead_evicted=counts.get("dead_evicted", 0),
            corrupt_evicted=counts.get("corrupt_evicted", 0),
            newer=counts.get("newer", 0),
            oldest_due_at=min(oldest, default=None),
            lateness=histogram("lateness", LATENESS, counts),
            batch_size=histogram("size", SIZES, counts),
        )

    # Dead letters.

    def dead_letters(self, most: int = 100, *, session: str | None = None) -> list[DeadLetter]:
        """List batches that were set aside after their last attempt, oldest first.

        Args:
            most: How many at most.
            session: Only those of this session.
        """
        letters = [
            letter
            for partition in self.partition_names()
            for letter in self.store.letters(partition, 0, most - 1 if session is None else -1, session or "")
        ]
        letters.sort(key=lambda letter: (letter.at, letter.id))
        return [self._dead_letter(letter) for letter in letters[:most]]

    def _dead_letter(self, letter: Letter) -> DeadLetter:
        return DeadLetter(
            letter.id,
            letter.session,
            letter.at,
            letter.attempts,
            letter.reason,
            letter.traceback,
            self._readable(letter.elements),
            letter.kind == COMMAND,
        )

    def redrive(self, letter: DeadLetter) -> int:
        """Bring a dead letter back to the end of its session, as a batch of its own, due now.

        Returns:
            Messages brought back; 0 when the dead letter is gone, e.g. redriven by somebody else.
        """
        place = self._place_of(letter)
        debounce, max_wait = self._rules.waits or self._waits_of(letter.session)
        brought = self.store.redrive(letter.id, place, debounce, max_wait)
        signals.redriven.send(sender=self, session=letter.session, batch_id=letter.id, messages=brought)
        self._moved()
        return brought

    def purge(self, letter: DeadLetter) -> int:
        """Delete a dead letter for good.

        Returns:
            Messages deleted; 0 when it is gone already.
        """
        deleted = self.store.purge(self._partition_of(letter), letter.id)
        signals.purged.send(sender=self, session=letter.session, batch_id=letter.id, messages=deleted)
        return deleted

    def _place_of(self, letter: DeadLetter) -> Address:
        if self._partition_of(letter) == COMMAND_PARTITION:
            return command_address(letter.session, encode_id(letter.messages[0].id))
        return self._address(letter.session)

    def _partition_of(self, letter: DeadLetter) -> str:
        return partition_of_letter(letter.id, letter.session, self._rules.partitions)


ENDS = ("handled", "dead", "dropped", "removed", "cancelled", "quarantined")
"""What becomes of accepted messages; promise 8 adds them up."""


def histogram(name: str, bounds: tuple[int, ...], counts: dict[str, int]) -> dict[str, int]:
    """Counts by the upper bound of their bucket; ``more`` for what passes the last one."""
    buckets = [*map(str, bounds), "more"]
    return {bucket: counts.get(f"{name}_{bucket}", 0) for bucket in buckets}
