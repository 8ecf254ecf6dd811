"""Random scripts of what users do to an inbox, played with the test kit and on a real Redis."""

from __future__ import annotations

import inspect
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from celery import Celery, Task
from celery.exceptions import Ignore, Reject

from celery_inbox import Batch, Command, Inbox
from celery_inbox.settings import ms
from celery_inbox.store.moves import Dispatch, Terms
from celery_inbox.store.redis import RedisStore
from celery_inbox.testing import InboxKit, crash
from celery_inbox.worker import lease as leases
from celery_inbox.worker.dispatcher import reclaim

GAPS = (0, 0, 0, 0.1, 0.4, 0.9, 1.0, 1.1, 2.5, 6.0)
"""Seconds; some hit a due time exactly."""
LAST = 60.0
"""Seconds after which everything that can be handled was handled."""
ENDS = ("ok", "ok", "ok", "ok", "ok", "raise", "raise", "retry", "reject", "requeue", "ignore", "crash")
Run = tuple[list[int], int, int]
"""What a handler was given: numbers of its messages, attempt, Unix ms."""


class Script:
    """Settings, and moves with the seconds before each; the same seed gives the same script."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        pick = self.random.choice
        self.settings: dict[str, Any] = {
            "debounce": pick((0.0, 0.5, 1.0)),
            "max_wait": pick((1.0, 3.0, 5.0)),
            "max_batch": pick((2, 3, 100)),
            "active_window": pick((None, None, 4.0)),
            "min_interval": pick((0.0, 0.0, 2.0)),
            "command_order": pick(("jump", "in_line")),
            "batch_key": pick((None, None, "topic")),
            "lease": 5.0,
            "dispatch_interval": pick((1.0, 5.0)),
            "partitions": 2,
        }
        self.options: dict[str, Any] = {
            "max_attempts": pick((1, 2, 3)),
            "backoff": pick((0.0, 0.5, 2.0)),
            "on_exhausted": pick(("park", "park", "hold", "isolate")),
            "on_cancel": pick(("ack", "rejoin")),
        }
        # A handler that takes time keeps the other sessions of its worker waiting, in no promised order.
        self.sessions = pick(("aab", "a"))
        self.durations = (None, None, 0.0, *((0.3, 3.0) if self.sessions == "a" else ()))
        self.moves = [(pick(GAPS), *self.move(number)) for number in range(self.random.randint(15, 40))]

    def move(self, number: int) -> tuple[str, str, Any]:
        """One thing that somebody does: its name, the session, what it needs."""
        session, chance = self.random.choice(self.sessions), self.random.random()
        if chance < 0.65:
            return "send", session, self.body(number)
        if chance < 0.75:
            return "command", session, self.body(number)
        name = self.random.choice(
            ("flush", "touch", "pause", "pause for", "resume", "resume", "replace", "remove", "cancel", "drop")
        )
        return name, session, self.random.randrange(max(number, 1))

    def body(self, number: int) -> dict[str, Any]:
        """A message that says what its handler will do."""
        pick = self.random.choice
        return {
            "n": number,
            "topic": pick("xxy"),
            "active": pick((True, True, True, False)),
            "flush": pick((False,) * 6 + (True,)),
            "end": pick(ENDS),
            "until": pick((1, 1, 2, 9)),
            "takes": pick(self.durations),
            "sends": pick((False, False, False, True)),
            "cancels": pick((False,) * 9 + (True,)),
        }


class Player(Protocol):
    """Lets time pass for an inbox."""

    @property
    def now(self) -> int:
        """The time, Unix ms."""

    def advance(self, seconds: float) -> None:
        """Let time pass, and handle what is due."""


class Scene:
    """An inbox with handlers that do what the messages say, and write down what they were given."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.player: Player
        self.runs: dict[tuple[str, str], list[Run]] = defaultdict(list)
        self.seen: set[int] = set()
        settings = dict(script.settings)
        if settings["batch_key"]:
            settings["batch_key"] = lambda body: body["topic"]
        app = Celery("played", set_as_current=False)
        self.inbox = Inbox(app, "played", **settings)

        @self.inbox.handler(bind=True, **script.options)
        def handle(task: Any, batch: Batch) -> None:
            self.handle(task, batch)

        @self.inbox.command_handler(bind=True, **script.options)
        def obey(task: Any, command: Command) -> None:
            self.obey(task, command)

    def handle(self, task: Any, batch: Batch) -> None:
        """Handle a batch as its first message says."""
        first = batch[0].body
        if first["n"] not in self.seen:
            self.seen.add(first["n"])
            self.meanwhile(batch, first)
        bodies = [message.body["n"] for message in batch]
        self.runs[batch.session, "batches"].append((bodies, batch.attempt, self.player.now))
        if batch.attempt <= first["until"]:
            end(task, first["end"])

    def meanwhile(self, batch: Batch, first: dict[str, Any]) -> None:
        """Take time, while commands jump; send, and let it join; be cancelled."""
        if first["sends"]:
            self.inbox.send(batch.session, {**first, "n": first["n"] + 1000, "sends": False})
            self.inbox.send_command(batch.session, {**first, "n": first["n"] + 2000, "end": "ok"})
        if first["takes"] is not None:
            self.player.advance(first["takes"])
            batch.take_new()
        if first["cancels"]:
            self.inbox.cancel(batch.session)
            self.player.advance(0)

    def obey(self, task: Any, command: Command) -> None:
        """Handle a command as it says."""
        self.runs[command.session, "commands"].append(([command.body["n"]], command.attempt, self.player.now))
        if command.attempt <= command.body["until"]:
            end(task, command.body["end"])

    def play(self) -> None:
        """Make the moves. Commands that jump have no order: those of one instant are put into one."""
        for gap, name, session, what in self.script.moves:
            self.player.advance(gap)
            self.make(name, session, what)
        self.player.advance(LAST)
        for (_, what), runs in self.runs.items():
            if what == "commands" and self.inbox.settings.command_order == "jump":
                runs.sort(key=lambda run: (run[2], run[0]))

    def make(self, name: str, session: str, what: Any) -> None:
        """Make one move."""
        inbox = self.inbox
        moves: dict[str, Callable[[], object]] = {
            "send": lambda: inbox.send(session, what, id=f"m{what['n']}", active=what["active"], flush=what["flush"]),
            "command": lambda: inbox.send_command(session, what),
            "flush": lambda: inbox.flush(session),
            "touch": lambda: inbox.touch(session),
            "pause": lambda: inbox.pause(session),
            "pause for": lambda: inbox.pause(session, for_=2.0),
            "resume": lambda: inbox.resume(session),
            "replace": lambda: inbox.replace(session, f"m{what}", {**self.script.body(what + 3000), "topic": "x"}),
            "remove": lambda: inbox.remove(session, f"m{what}"),
            "cancel": lambda: inbox.cancel(session),
            "drop": lambda: inbox.drop(session),
        }
        moves[name]()


def end(task: Any, how: str) -> None:
    """End a handler."""
    if how == "raise":
        raise ValueError("as the message says")
    if how == "retry":
        task.retry(countdown=1.5)
    if how in ("reject", "requeue"):
        raise Reject("as the message says", requeue=how == "requeue")
    if how == "ignore":
        raise Ignore
    if how == "crash":
        crash()


def with_the_kit(seed: int) -> tuple[Scene, int]:
    """Play a script in memory; the scene, and when it began."""
    scene = Scene(Script(seed))
    with InboxKit(scene.inbox) as kit:
        scene.player = kit.clock
        scene.play()
    return scene, kit.clock.started_at


def with_redis(seed: int, url: str, started_at: int) -> Scene:
    """Play a script on a server, by its own dispatches, at a time that the script decides."""
    scene = Scene(Script(seed))
    scene.player = player = RedisPlayer(scene.inbox, url, started_at)
    scene.play()
    player.store.client.close()
    return scene


class TimedStore(RedisStore):
    """Every move is given the time."""

    clock: Callable[[], int]


def timed(move: Callable[..., Any]) -> Callable[..., Any]:
    """A move that takes ``now`` from the store's clock unless it is given."""
    signature = inspect.signature(move)

    @wraps(move)
    def call(*args: Any, **given: Any) -> Any:
        bound = signature.bind(*args, **given)
        if bound.arguments.get("now") is None:
            bound.arguments["now"] = args[0].clock()
        return move(*bound.args, **bound.kwargs)

    return call


for name, move in inspect.getmembers(RedisStore, inspect.isfunction):
    if "now" in inspect.signature(move).parameters and not name.startswith("_"):
        setattr(TimedStore, name, timed(move))


class RedisPlayer:
    """A dispatcher and two workers in one thread: one for batches, one for commands that jump."""

    def __init__(self, inbox: Inbox, url: str, started_at: int) -> None:
        self.now = started_at
        self.inbox = inbox
        settings = inbox.settings
        self.store = TimedStore(url, f"played-{uuid.uuid4().hex}", inbox.name, Terms.of(settings), 4.0)
        self.store.clock = lambda: self.now
        inbox._store, inbox._checked = self.store, True
        self.numbered = [name for name in inbox.partition_names() if name != "command"]
        self.handling = False
        self.looks = 0

    def advance(self, seconds: float) -> None:
        """Dispatch, run the kicks, and sleep as long as the script says, until the time is over."""
        end = self.now + ms(seconds)
        while True:
            replies = self.serve(["command"])
            if not self.handling:
                replies += self.serve(self.numbered)
            if any(reply.kicks or reply.expired for reply in replies):
                continue
            look_in = min(reply.look_in for reply in replies)
            assert look_in > 0, replies
            if self.now + look_in > end:
                break
            self.now += look_in
        self.now = max(self.now, end)
        if self.handling:
            self.renew()

    def renew(self) -> None:
        """Do what the thread of a worker does, at the script's time."""
        for lease in list(leases.keeper._leases.values()):
            lease.renew()
            lease.tick(time.monotonic())

    def serve(self, names: list[str]) -> list[Dispatch]:
        """Look at the partitions of one worker."""
        self.looks += 1
        replies = self.store.dispatch(names, f"look{self.looks}", 1)
        for name, reply in zip(names, replies, strict=True):
            if reply.expired:
                reclaim(self.inbox, self.store, name)
            for kind, kick in reply.kicks:
                self.run(name, kind, kick)
        return replies

    def run(self, name: str, kind: Any, kick: str) -> None:
        """Run a kick as a worker does."""
        nested, self.handling = self.handling, True
        try:
            Task.apply(self.inbox.handler_task(kind), args=(self.inbox.name, name, kind), task_id=kick, throw=False)
        except SystemExit:
            return
        finally:
            self.handling = nested
