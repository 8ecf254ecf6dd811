"""Serve what is due in a partition: claim, handle, ack or nack, one session after the other."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from celery.exceptions import Retry

from celery_inbox.element import COMMAND
from celery_inbox.errors import StorageUnavailable
from celery_inbox.message import Batch, Command
from celery_inbox.observe import signals
from celery_inbox.settings import ms
from celery_inbox.store.moves import Claim, Outcome, Plan, Settled
from celery_inbox.worker import lease as leases
from celery_inbox.worker.identity import token, worker_identity
from celery_inbox.worker.outcome import (
    asked_delay,
    cause,
    is_put_to_death,
    last_failure,
    name_of,
    reason_of,
    traceback_of,
    verdict,
)
from celery_inbox.worker.patience import until_answered
from celery_inbox.worker.proof import prove

if TYPE_CHECKING:
    from celery_inbox.bound import BoundInbox
    from celery_inbox.store.keys import Address
    from celery_inbox.worker.task import HandlerTask

MOST_SESSIONS = 1000
"""Sessions that one kick serves at most, so that a revoke or a rate change of the worker is seen."""
LONGEST = 5.0
"""Seconds after which a kick takes no further session."""


class Failed(Exception):
    """Carries what the Celery task ends with, once the batch is settled."""

    def __init__(self, ending: BaseException) -> None:
        self.ending = ending


def drain(task: HandlerTask, partition: str, kick: str) -> int:
    """Serve due sessions of a partition until none is left or the kick has had its share.

    Returns:
        How many batches were handled.

    Raises:
        Retry: A batch failed and will be tried again; it ends the kick.
        Exception: What the handler raised, when its batch is dead.
    """
    inbox, plan = task.inbox, task.plan(worker_identity())
    store, ends_at = inbox.store, time.monotonic() + LONGEST
    first = token()
    try:
        claim = until_answered(lambda: store.claim(partition, first, plan, kick), store.terms.lease / 1000)
    except StorageUnavailable:
        return 0
    served, serves_many = 0, task.serves_many
    while claim is not None:
        served += 1
        follow = serves_many and served < MOST_SESSIONS and time.monotonic() < ends_at
        try:
            claim = serve(task, claim, plan, follow)
        except Failed as failed:
            raise failed.ending from None
    return served


def serve(task: HandlerTask, claim: Claim, plan: Plan, follow: bool) -> Claim | None:
    """Handle one claim and settle it; the reply is the next claim, if one was asked for and something is due.

    Raises:
        Failed: The batch is settled, and the task has to end otherwise than in success.
    """
    inbox = task.inbox
    prove(inbox)
    signals.claimed.send(sender=inbox, claim=claim)
    lease = leases.Lease(claim, inbox, task.max_run)
    started = time.monotonic()
    keeper: leases.Keeper = inbox.in_process or leases
    keeper.keep(lease)
    try:
        work = read(inbox, claim, lease)
        if work is not None:
            task.handle(work)
    except BaseException as error:
        return settle_failure(task, claim, lease, error)
    else:
        return ack(inbox, claim, plan, lease, follow, time.monotonic() - started)
    finally:
        keeper.let_go(lease)


def read(inbox: BoundInbox, claim: Claim, lease: leases.Lease) -> Batch | Command | None:
    """Decode a claim for its handler; None when nothing of it can be read."""
    messages = leases.decode(inbox, claim, claim.elements)
    if not messages:
        return None
    session, attempt, fence = claim.address.session, claim.attempt, claim.fence
    if claim.kind == COMMAND:
        return Command(session, messages[0], id=claim.batch_id, attempt=attempt, fence=fence, lease=lease)
    return Batch(session, messages, id=claim.batch_id, attempt=attempt, fence=fence, lease=lease)


def ack(inbox: BoundInbox, claim: Claim, plan: Plan, lease: leases.Lease, follow: bool, runtime: float) -> Claim | None:
    """Settle a handled batch; asked until Redis answers, for an ack that is not heard is a batch handled twice."""
    following = token() if follow else ""
    settled = lease.settle(lambda: inbox.store.ack(claim, following, plan))
    if settled.outcome == "lost":
        lease.lose()
    else:
        signals.acked.send(sender=inbox, claim=claim, handled=settled.handled, runtime=runtime)
    return settled.next


def settle_failure(task: HandlerTask, claim: Claim, lease: leases.Lease, error: BaseException) -> Claim | None:
    """Settle a batch whose handler raised.

    Raises:
        Failed: With Celery's ``Retry`` when it will be tried again, with the handler's exception when it is dead.
        SystemExit, KeyboardInterrupt: After the nack, as they were raised.
    """
    if is_put_to_death(error):
        # As after SIGKILL, the end of the lease decides; a nack would count an attempt when the worker is stopping.
        raise error
    inbox, judged = task.inbox, verdict(error)
    if lease.cancelled and judged != "ack" and isinstance(error, Exception):
        outcome = lease.settle(lambda: inbox.store.cancel(claim.address, claim.fence))
        signals.cancelled.send(sender=inbox, session=claim.address.session, outcome=outcome)
        return None
    if judged == "ack":
        return ack(inbox, claim, task.plan(worker_identity()), lease, False, 0.0)
    delay = -1
    if judged == "nack":
        asked = asked_delay(error)
        delay = ms(task.policy.delay(claim.attempt, 1.0 if inbox.in_process else None) if asked is None else asked)
    behind = cause(error)
    reason, told = reason_of(error), traceback_of(behind)
    settled = lease.settle(lambda: inbox.store.nack(claim, delay, reason, told))
    tell(inbox, claim, lease, settled, error)
    if not isinstance(error, Exception):
        raise error
    if settled.outcome == "retry":
        raise Failed(Retry(exc=behind if isinstance(behind, Exception) else None, when=delay / 1000)) from error
    if settled.outcome in ("dead", "held", "isolated"):
        raise Failed(last_failure(error)) from error
    return None


def tell(inbox: BoundInbox, claim: Claim, lease: leases.Lease, settled: Settled, error: BaseException) -> None:
    """Send the signals of a failed batch."""
    if settled.outcome == "retry":
        signals.nacked.send(sender=inbox, claim=claim, retry_at=settled.retry_at, exception=error)
    elif settled.outcome in ("dead", "held", "isolated"):
        attempts, reason = claim.attempt, name_of(error)
        tell_exhausted(inbox, claim.address, claim.batch_id, attempts, settled.outcome, reason, settled.evicted)
    elif settled.outcome == "lost":
        lease.lose()


def tell_exhausted(
    inbox: BoundInbox,
    address: Address,
    batch_id: str,
    attempts: int,
    outcome: Outcome,
    reason: str,
    evicted: tuple[str, ...] = (),
) -> None:
    """Send the signals of a batch that had its last attempt; a dead letter makes room among those of all partitions."""
    if outcome != "dead":
        signals.exhausted.send(sender=inbox, address=address, batch_id=batch_id, attempts=attempts, outcome=outcome)
        return
    signals.dead.send(sender=inbox, address=address, batch_id=batch_id, attempts=attempts, reason=reason)
    with contextlib.suppress(StorageUnavailable):
        # If not now, the next dead letter makes room for both.
        evicted += inbox.evict_dead()
    if evicted:
        signals.dead_evicted.send(sender=inbox, ids=evicted)
