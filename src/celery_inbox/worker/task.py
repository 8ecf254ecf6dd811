"""The user's handler as a Celery task: a batch runs it, a kick drains a partition with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from celery import Task
from celery.app.autoretry import add_autoretry_behaviour
from celery.exceptions import Retry

from celery_inbox.element import Kind
from celery_inbox.errors import ConfigurationError, InboxError
from celery_inbox.message import Batch, Command
from celery_inbox.store.moves import Plan
from celery_inbox.worker import event_loop
from celery_inbox.worker.drain import drain
from celery_inbox.worker.kick import kicks_only
from celery_inbox.worker.outcome import Policy

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox

AUTORETRY = (
    "autoretry_for",
    "dont_autoretry_for",
    "retry_kwargs",
    "retry_backoff",
    "retry_backoff_max",
    "retry_jitter",
)
"""Celery's options of autoretry."""
USE_SEND = "a handler is started by its inbox: use inbox.send(session, body), or call it with a Batch in a test"


class HandlerTask(Task):  # type: ignore[misc]
    """A handler that is a real Celery task: its options, name and signals apply, and kicks start it."""

    abstract = True
    typing = False
    acks_late = False
    ignore_result = True
    max_retries = None

    inbox: ClassVar[BoundInbox]
    policy: ClassVar[Policy]
    kind: ClassVar[Kind]

    def start_strategy(self, app: Any, consumer: Any, **options: Any) -> Any:
        """Take kicks off the broker, and nothing else that names this task."""
        return kicks_only(self, super().start_strategy(app, consumer, **options))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], (Batch, Command)):
            return self._user_call(*args, **kwargs)
        _, partition, _ = args
        return drain(self, partition, self.request.id or "")

    def _user_call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the handler through the app's own task class, if that wraps calls (an application context, say)."""
        following = super().__call__
        if getattr(following, "__func__", None) is Task.__call__:
            return self.run(*args, **kwargs)
        return following(*args, **kwargs)

    def handle(self, work: Batch | Command) -> None:
        """Run the handler to its end, whatever its colour."""
        # Celery's retry_backoff grows with it.
        self.request.retries = work.attempt - 1
        result = self._user_call(work)
        if inspect.iscoroutine(result):
            Awaited(self, lambda: event_loop.run(result, work.when_cancelled)).run()

    @property
    def is_async(self) -> bool:
        """Is the handler a coroutine function, whatever Celery has wrapped around it?"""
        return inspect.iscoroutinefunction(getattr(self, "_orig_run", self.run))

    def plan(self, worker: str) -> Plan:
        """What a claim for this handler must know."""
        return Plan(self.kind, self.policy.max_attempts, self.policy.on_exhausted, worker, self.policy.on_cancel)

    @property
    def serves_many(self) -> bool:
        """May one kick serve several sessions? Celery sets time limits once per task, so only without one."""
        limits = (
            self.time_limit,
            self.soft_time_limit,
            self.app.conf.task_time_limit,
            self.app.conf.task_soft_time_limit,
        )
        return not any(limits)

    @property
    def max_run(self) -> float:
        """Seconds for which a run is renewed: its hard time limit, else the setting."""
        return float(self.time_limit or self.app.conf.task_time_limit or self.inbox.settings.max_run)

    def kick(self, partition: str, id: str, **options: Any) -> None:
        """Publish the hint that something is due; it names inbox, partition and kind, nothing else."""
        super().apply_async(
            (self.inbox.name, partition, self.kind),
            task_id=id,
            retry=False,
            ignore_result=True,
            argsrepr="",
            kwargsrepr="",
            **options,
        )

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Exception | None = None,
        throw: bool = True,
        eta: Any = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Have the batch tried again after ``countdown`` seconds or at ``eta``; publishes nothing.

        Raises:
            Retry: Unless ``throw`` is false.
            ConfigurationError: ``max_retries`` was given; the batch is tried again after the handler's backoff.
        """
        if max_retries is not None:
            raise ConfigurationError(f"retry(max_retries={max_retries}): say max_attempts in @inbox.handler instead")
        retry = Retry(exc=exc, when=countdown if countdown is not None else eta)
        if throw:
            raise retry from exc
        return retry

    def _use_send(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise InboxError(f"{self.name}: {USE_SEND}")

    delay = apply_async = apply = s = si = signature = subtask = starmap = map = chunks = _use_send


class Awaited:
    """The end of a coroutine, with ``autoretry_for`` wrapped around it: around the call Celery sees no exception."""

    def __init__(self, task: HandlerTask, run: Callable[[], None]) -> None:
        self.run = run
        self.request, self.retry = task.request, task.retry
        add_autoretry_behaviour(self, **{name: getattr(task, name) for name in AUTORETRY if hasattr(task, name)})
