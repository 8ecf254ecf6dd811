"""Inboxes without Redis, broker or worker for a test, with a clock that the test advances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from typing import Any, NoReturn, Self, TypeAlias

from celery_inbox.bound import BoundInbox
from celery_inbox.inbox import Inbox
from celery_inbox.store.keys import encode_session
from celery_inbox.testing.attempts import Attempt
from celery_inbox.testing.clock import Clock
from celery_inbox.testing.found import found, listed, show
from celery_inbox.testing.served import Served

Which: TypeAlias = Inbox | str | None
"""An inbox or its name; needed where several have the session."""

Key: TypeAlias = str | Callable[[Any], Any] | None
"""What is compared of a body: an item of it, what a callable makes of it, or all of it."""


class InboxKit:
    """Takes inboxes over: sends go to this process's memory, handlers run when the clock is advanced.

    Debounce, ``max_wait``, limits, ids, backoff (its longest), attempts, dead letters, commands and controls are the
    real thing; handlers are run by the code that runs them in a worker, one batch and one command at a time. What they
    raise is settled as in a worker, and stands in the output of a failed assertion.

    Args:
        *inboxes: Which ones; none given: every inbox of this process. Eager mode stands back.

    Use it as ``with InboxKit(inbox) as kit:``, or through the pytest fixture ``inbox_kit``. Afterwards the inboxes are
    as they were, and what the kit held is gone.
    """

    def __init__(self, *inboxes: Inbox) -> None:
        for inbox in inboxes:
            if not isinstance(inbox, Inbox):
                raise TypeError(f"InboxKit({inbox!r}): give it inboxes, or nothing for all of this process")
        self.clock = Clock()
        """Advance it: ``kit.clock.advance(1.0)``; ``kit.clock.now`` is Unix ms."""
        self._inboxes = inboxes
        self._served: dict[BoundInbox, Served] = {}
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        targets: Sequence[BoundInbox | type[BoundInbox]] = self._inboxes or [BoundInbox]
        for target in targets:
            self._undo.callback(put_back, target, vars(target).get("kit"))
            target.kit = self
        self.clock.runs = True
        return self

    def __exit__(self, *_: object) -> None:
        self.clock.runs = False
        self._undo.close()

    def serving(self, inbox: BoundInbox) -> Served:
        """What serves an inbox of this kit; asked by the inbox."""
        served = self._served.get(inbox)
        if served is None:
            assert isinstance(inbox, Inbox)
            served = self._served[inbox] = Served(inbox, self.clock.read)
            self.clock.served.append(served)
        return served

    # What a test does besides sending.

    def run_due(self) -> None:
        """Handle what is due now, commands that jump above all; the clock stands still. As ``clock.advance(0)``."""
        self.clock.advance(0)

    def expire_lease(self, session: str, *, inbox: Which = None) -> None:
        """In a handler: end the lease of the session's running batch, as if it had not been renewed.

        ``batch.lost`` is true then, its ack will change nothing, and the batch is tried again.

        Raises:
            ValueError: No batch of the session runs.
        """
        ended = [served.expire(session) for served in self._of(session, inbox)]
        if not any(ended):
            raise ValueError(f"no batch of {session!r} runs: call expire_lease in its handler")

    # What happened.

    def batches(self, session: str, *, inbox: Which = None) -> list[Attempt]:
        """Every attempt at a batch of a session, oldest first: messages, attempt, outcome, at."""
        return [attempt for attempt in self._attempts(session, inbox) if not attempt.is_command]

    def commands(self, session: str, *, inbox: Which = None) -> list[Attempt]:
        """Every attempt at a command of a session, oldest first."""
        return [attempt for attempt in self._attempts(session, inbox) if attempt.is_command]

    def _attempts(self, session: str, inbox: Which) -> list[Attempt]:
        return [
            attempt
            for served in self._of(session, inbox)
            for attempt in served.store.attempts
            if attempt.session == session
        ]

    def _among(self, inbox: Which) -> list[Served]:
        served = [each for each in self.clock.served if inbox in (None, each.inbox, each.inbox.name)]
        if inbox is not None and not served:
            names = ", ".join(each.inbox.name for each in self.clock.served) or "none"
            raise ValueError(f"inbox={inbox!r} was not used in this kit; used: {names}")
        return served

    def _of(self, session: str, inbox: Which) -> list[Served]:
        """What serves the session: one, or none when nobody has sent to it."""
        encode_session(session)
        has = [each for each in self._among(inbox) if session in each.store.names]
        if len(has) > 1:
            names = [each.inbox.name for each in has]
            raise ValueError(
                f"{session!r} is a session of the inboxes {', '.join(names)}: say which, as in inbox={names[0]!r}"
            )
        return has

    # Assertions. They look at one session; with several inboxes that have it, say which with ``inbox``.

    def assert_batches(
        self, session: str, batches: Sequence[Sequence[Any]], *, key: Key = None, inbox: Which = None
    ) -> None:
        """Check which batches of a session were handled, in order, as in ``assert_batches("ada", [["hi", "there?"]])``.

        Args:
            session: Its name.
            batches: The bodies of each batch. A text equals a body ``{"text": text, ...}`` too.
            key: Compare only this item of each body, as in ``key="update_id"``, or what a callable makes of it.
            inbox: The inbox or its name, where several have this session.

        Raises:
            AssertionError: Others were. It says what was found.
        """
        __tracebackhide__ = True
        check_lists("assert_batches", session, batches)
        handled = [attempt.bodies for attempt in self.batches(session, inbox=inbox) if attempt.outcome == "handled"]
        if not same_batches(batches, handled, key):
            self._fail(f"batches of {session!r} that were handled", listed(batches), listed(handled), session)

    def assert_waiting(self, session: str, bodies: Sequence[Any], *, key: Key = None, inbox: Which = None) -> None:
        """Check which messages of a session wait, in order; those of an open batch and commands that jump do not.

        Args, Raises: As ``assert_batches``, with one list of bodies.
        """
        __tracebackhide__ = True
        check_list("assert_waiting", session, bodies)
        waiting: list[Any] = []
        for served in self._of(session, inbox):
            view = served.inbox.peek(session, 0, -1)
            waiting += (message.body for message in (view.messages if view else ()))
        if not same(bodies, waiting, key):
            self._fail(f"messages of {session!r} that wait", show(bodies), show(waiting), session)

    def assert_commands(self, session: str, bodies: Sequence[Any], *, key: Key = None, inbox: Which = None) -> None:
        """Check which commands of a session were handled, in order: ``assert_commands("ada", [",help"])``.

        Args, Raises: As ``assert_batches``, with one list of bodies.
        """
        __tracebackhide__ = True
        check_list("assert_commands", session, bodies)
        commands = self.commands(session, inbox=inbox)
        handled = [body for attempt in commands if attempt.outcome == "handled" for body in attempt.bodies]
        if not same(bodies, handled, key):
            self._fail(f"commands of {session!r} that were handled", show(bodies), show(handled), session)

    def assert_dead(
        self, session: str, batches: Sequence[Sequence[Any]], *, key: Key = None, inbox: Which = None
    ) -> None:
        """Check the dead letters of a session, oldest first; a command is a list of one.

        Args, Raises: As ``assert_batches``.
        """
        __tracebackhide__ = True
        check_lists("assert_dead", session, batches)
        letters = [
            letter
            for served in self._of(session, inbox)
            for letter in served.inbox.dead_letters(served.inbox.settings.max_dead, session=session)
        ]
        dead = [[message.body for message in letter.messages] for letter in letters]
        if not same_batches(batches, dead, key):
            self._fail(f"dead letters of {session!r}", listed(batches), listed(dead), session)

    def assert_nothing_waiting(self, session: str | None = None, *, inbox: Which = None) -> None:
        """Check that nothing waits, no batch is open and no command is under way: in one session, or in all.

        Raises:
            AssertionError: It says what was found.
        """
        __tracebackhide__ = True
        names = [
            each.name
            for served in (self._among(inbox) if session is None else self._of(session, inbox))
            for partition in served.store.partitions.values()
            for each in partition.sessions.values()
            if session in (None, each.name)
        ]
        if names:
            self._fail("what waits", "nothing", f"messages of {', '.join(map(repr, dict.fromkeys(names)))}", session)

    def _fail(self, what: str, expected: str, actual: str, session: str | None) -> NoReturn:
        __tracebackhide__ = True
        known = [name for served in self.clock.served for name in served.store.names]
        hint = ""
        if session is not None and session not in known:
            near = get_close_matches(session, known, n=1)
            hint = f"\nnothing was sent to {session!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        raise AssertionError(f"{what}\nexpected {expected}\nfound    {actual}{hint}\n\n{found(self.clock, session)}")


def put_back(target: BoundInbox | type[BoundInbox], kit: Any) -> None:
    """Give an inbox, or all of them, what it had before."""
    if kit is None and isinstance(target, BoundInbox):
        del target.kit
    else:
        target.kit = kit


def check_list(call: str, session: str, bodies: object) -> None:
    """Refuse what is no list of bodies.

    Raises:
        TypeError: With an example.
    """
    if isinstance(bodies, (str, bytes, dict)) or not isinstance(bodies, Sequence):
        raise TypeError(f"{call}({session!r}, {bodies!r}): say a list of bodies, as in {call}({session!r}, ['hi'])")


def check_lists(call: str, session: str, batches: object) -> None:
    """Refuse what is no list of lists of bodies.

    Raises:
        TypeError: With an example.
    """
    lists = isinstance(batches, Sequence) and not isinstance(batches, (str, bytes))
    for batch in batches if isinstance(batches, Sequence) and lists else [""]:
        if isinstance(batch, (str, bytes, dict)) or not isinstance(batch, Sequence):
            raise TypeError(
                f"{call}({session!r}, {batches!r}): say a list of batches, each a list of bodies, "
                f"as in {call}({session!r}, [['hi', 'are you there?']])"
            )


def same_batches(expected: Sequence[Sequence[Any]], actual: Sequence[Sequence[Any]], key: Key) -> bool:
    """Compare batch by batch."""
    return len(expected) == len(actual) and all(
        same(wanted, found, key) for wanted, found in zip(expected, actual, strict=True)
    )


def same(expected: Sequence[Any], actual: Sequence[Any], key: Key) -> bool:
    """Compare body by body."""
    return len(expected) == len(actual) and all(
        matches(wanted, found, key) for wanted, found in zip(expected, actual, strict=True)
    )


def matches(wanted: Any, body: Any, key: Key) -> bool:
    """Compare one body, or the part of it that matters."""
    if callable(key):
        return bool(wanted == key(body))
    if isinstance(body, dict) and (key is not None or isinstance(wanted, str)):
        return bool(wanted == body.get("text" if key is None else key))
    return bool(wanted == body)
