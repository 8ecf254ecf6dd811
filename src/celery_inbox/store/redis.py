"""The store in Redis: one method per Lua script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from redis.exceptions import NoScriptError, RedisError

from celery_inbox.element import Kind
from celery_inbox.store import replies
from celery_inbox.store.connection import repartitioning, storage_error, storage_errors
from celery_inbox.store.keys import Address, inbox_prefix, partition_prefix
from celery_inbox.store.link import link
from celery_inbox.store.moves import (
    LOOK_AT,
    Cancelled,
    Claim,
    Depths,
    Dispatch,
    Letter,
    Listed,
    Outgoing,
    Plan,
    Reclaimed,
    Replaced,
    Sent,
    Serving,
    Settled,
    Standing,
    Terms,
    View,
)
from celery_inbox.store.scripts import Script, script
from celery_inbox.store.wire import bulk, pack

CLOCK = ""
"""Stands for Redis's own clock in a script's ``now``."""
STANDINGS: dict[int, Standing] = {0: "lost", 1: "held", 2: "cancelled"}
REPLACED: dict[int, Replaced] = {1: "replaced", 0: "late", -1: "full"}
SEARCH_ON = 2
"""Reply of a search that goes on in another call."""
HEAD = 4
"""Arguments of a call that do not change: EVALSHA, hash, number of keys, key."""
MOST_LOADS = 5
"""Times that a forgotten script is loaded for one call."""
MOST_AT_ONCE = 200
"""Messages that one script call stores at most, for other clients wait while it runs."""
MOST_BYTES_AT_ONCE = 1 << 20
"""Bytes of bodies that one script call stores at most, unless it is a single message."""


class RedisStore:
    """One inbox's sessions in Redis.

    Raises:
        StorageUnavailable: Any method, when Redis does not answer in ``socket_timeout``; the move may have happened.
        StorageFull: Any method, when Redis is out of memory; the move has not happened.
        Repartitioning: Any method that changes a session, while sessions are moved; the move has not happened.
        ConfigurationError: Any method that is about a session which another partition has by now.
    """

    def __init__(
        self, url: str, namespace: str, inbox: str, terms: Terms, socket_timeout: float, health_check: float = 0
    ) -> None:
        self.terms = terms
        self._namespace = namespace
        self._inbox = inbox
        self.inbox_prefix = inbox_prefix(namespace, inbox)
        self.link = link(url, socket_timeout, health_check)
        self._heads: dict[tuple[str, str], bytes] = {}
        self._prefixes: dict[str, str] = {}
        self._plans: dict[tuple[str, Plan], tuple[bytes, int]] = {}
        self._send = script("send")
        self._send_terms = " ".join(
            map(
                str,
                (
                    terms.max_batch,
                    terms.max_bytes,
                    terms.max_pending,
                    terms.max_pending_bytes,
                    int(terms.drop_oldest),
                    terms.active_window,
                    terms.dedup_ttl,
                    terms.max_ids,
                    terms.partitions,
                ),
            )
        )

    @property
    def client(self) -> Any:
        """A client of redis-py, for what is no script."""
        return self.link.client

    def prefix(self, partition: str) -> str:
        """First part of every key of a partition."""
        found = self._prefixes.get(partition)
        if found is None:
            found = self._prefixes[partition] = partition_prefix(self._namespace, self._inbox, partition)
        return found

    # Calls: EVALSHA, with the text in front when the server forgot it.

    def _call(self, name: str, key: str, /, **given: Any) -> Any:
        move = script(name)
        [answer] = self._ask(move, [pack(self._head(move, key), HEAD, move.arguments(**given))])
        return answer

    def _call_all(self, name: str, partitions: Sequence[str], /, **given: Any) -> list[Any]:
        """Make the same call in many partitions: one round trip for all."""
        move = script(name)
        arguments = move.arguments(**given)
        return self._ask(move, [pack(self._head(move, self.prefix(one)), HEAD, arguments) for one in partitions])

    def ask(self, name: str, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Make calls of one script, each in a partition and with arguments of its own: one round trip for all."""
        move = script(name)
        return self._ask(move, [pack(self._head(move, self.prefix(one)), HEAD, given) for one, given in calls])

    def ask_inbox(self, name: str, /, **given: Any) -> Any:
        """Call a script that is about the inbox as a whole."""
        return self._call(name, self.inbox_prefix, **given)

    def _ask(self, move: Script, commands: Sequence[bytes], id: str | None = None) -> list[Any]:
        """Make calls in one round trip; the first error is raised."""
        try:
            answers = self.link.exchange(commands)
            for _ in range(MOST_LOADS):
                forgotten = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
                if not forgotten:
                    break
                load = pack(b"", 0, ("SCRIPT", "LOAD", move.text))
                _, *again = self.link.exchange([load, *(commands[index] for index in forgotten)])
                for index, answer in zip(forgotten, again, strict=True):
                    answers[index] = answer
        except (RedisError, OSError) as error:
            raise storage_error(error, id) from error
        for answer in answers:
            if isinstance(answer, Exception):
                raise storage_error(answer, id) from answer
        return answers

    def _head(self, move: Script, key: str) -> bytes:
        """The constant part of a call."""
        known = (move.sha, key)
        found = self._heads.get(known)
        if found is None:
            found = self._heads[known] = b"".join(map(bulk, ("EVALSHA", move.sha, 1, key)))
        return found

    # The moves.

    def register(self, partitions: int, serializer: str) -> tuple[int, str]:
        """Record the layout unless it is recorded; the reply is what is recorded.

        Raises:
            Repartitioning: Sessions are being moved to another number of partitions.
        """
        recorded = self.ask_inbox("register", partitions=partitions, serializer=serializer)
        if recorded[2] is not None:
            raise repartitioning()
        return int(recorded[0]), replies.text(recorded[1])

    def _sending(self, partition: str, messages: Sequence[Outgoing], now: int | None) -> bytes:
        constant = bulk(_at(now)) + bulk(self._send_terms)
        said = [(message.form.encode(), message.payload) for message in messages]
        tail = [b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(form), form, len(body), body) for form, body in said]
        head = self._head(self._send, self.prefix(partition))
        return b"*%d\r\n%b%b%b" % (HEAD + 2 + 2 * len(tail), head, constant, b"".join(tail))

    def send(self, message: Outgoing, now: int | None = None) -> Sent:
        """Store a message: one round trip."""
        [line] = self._ask(self._send, [self._sending(message.address.partition, (message,), now)], message.id)
        return replies.sent(line)

    def send_many(self, messages: Sequence[Outgoing], now: int | None = None) -> list[Sent]:
        """Store messages: one round trip for all, one call per partition, or per ``MOST_AT_ONCE`` of its messages."""
        groups: list[tuple[str, list[int]]] = []
        open_groups: dict[str, list[int]] = {}
        room: dict[str, int] = {}
        for number, message in enumerate(messages):
            partition, size = message.address.partition, len(message.payload)
            group = open_groups.get(partition)
            if group is None or len(group) == MOST_AT_ONCE or size > room[partition]:
                group = open_groups[partition] = []
                groups.append((partition, group))
                room[partition] = MOST_BYTES_AT_ONCE
            group.append(number)
            room[partition] -= size
        commands = [self._sending(name, [messages[number] for number in group], now) for name, group in groups]
        sent: list[Any] = [None] * len(messages)
        for (_, group), lines in zip(groups, self._ask(self._send, commands), strict=True):
            for number, line in zip(group, lines.split(b"\n"), strict=True):
                sent[number] = replies.sent(line)
        return sent

    async def asend(self, message: Outgoing) -> Sent:
        """Store a message from the running event loop."""
        told = (1, self.prefix(message.address.partition), CLOCK, self._send_terms, message.form, message.payload)
        try:
            try:
                return replies.sent(await self.link.execute("EVALSHA", self._send.sha, *told))
            except NoScriptError:
                return replies.sent(await self.link.execute("EVAL", self._send.text, *told))
        except (RedisError, OSError) as error:
            raise storage_error(error, message.id) from error

    def touch(self, address: Address, now: int | None = None) -> int | None:
        """Push the debounce back."""
        return replies.number(self._call("touch", self.prefix(address.partition), now=_at(now), session=address.digest))

    def _claiming(self, name: str, partition: str, plan: Plan, /, **given: Any) -> Any:
        """Call a script that claims; its last slots are the same with every call of a handler and are packed once."""
        move, size = script(name), HEAD + len(given)
        found = self._plans.get((name, plan))
        if found is None:
            constants = {
                "kind": plan.kind,
                "worker": plan.worker,
                "lease": self.terms.lease,
                "max_batch": self.terms.max_batch,
                "max_bytes": self.terms.max_bytes,
                "min_interval": self.terms.min_interval,
                "max_attempts": plan.max_attempts,
                "on_exhausted": plan.on_exhausted,
                "on_cancel": plan.on_cancel,
            }
            assert move.names == (*given, *constants), move.arguments(**given, **constants)
            found = self._plans[name, plan] = (b"".join(map(bulk, constants.values())), size + len(constants))
        head = b"".join([self._head(move, self.prefix(partition)), *map(bulk, given.values())])
        [answer] = self._ask(move, [b"*%d\r\n%b%b" % (found[1], head, found[0])])
        return answer

    def flush(self, address: Address, now: int | None = None) -> int:
        """Make what waits due now."""
        return int(self._of_session("flush", address, now=_at(now)))

    def claim(self, partition: str, token: str, plan: Plan, kick: str = "", now: int | None = None) -> Claim | None:
        """Lease the longest-due session of a partition."""
        reply = self._claiming("claim", partition, plan, now=_at(now), kick=kick, token=token)
        return replies.claim(partition, reply)

    def renew(self, claim: Claim, now: int | None = None) -> bool:
        """Extend a lease; False means lost."""
        return bool(self._of_claim("renew", claim, now=_at(now), lease=self.terms.lease))

    def standing(self, claim: Claim) -> Standing:
        """Ask whether a claim is held, cancelled or lost."""
        return STANDINGS[self._of_claim("renew", claim, now=CLOCK, lease=0)]

    def take_new(self, claim: Claim, known: int) -> tuple[bytes, ...] | None:
        """Let what arrived join the running batch: the elements that the caller does not know; None when lost."""
        reply = self._of_claim("take_new", claim, known=known, **self._cutting)
        return None if reply is None else tuple(reply)

    def ack(self, claim: Claim, token: str = "", plan: Plan | None = None, now: int | None = None) -> Settled:
        """End a claim as handled; with a token, claim what is due next in the same call."""
        partition, session = claim.address.partition, claim.address.digest
        given = {"now": _at(now), "session": session, "fence": claim.fence, "token": token}
        outcome, handled, following = self._claiming("ack", partition, plan or Plan(), **given)
        return Settled(cast("Any", replies.text(outcome)), int(handled), next=replies.claim(partition, following))

    def nack(self, claim: Claim, delay: int, reason: str = "", traceback: str = "", now: int | None = None) -> Settled:
        """End a claim as failed; a delay below 0 allows no further attempt."""
        reply = self._of_claim(
            "nack", claim, now=_at(now), delay=delay, reason=reason, traceback=traceback, max_dead=self.terms.max_dead
        )
        return replies.settled(reply)

    def cancel(self, address: Address, fence: int = 0, now: int | None = None) -> Cancelled:
        """Cancel the open batch, or settle one's own cancelled run with its fence."""
        return cast(
            Cancelled, replies.text(self._of_session("cancel", address, now=_at(now), fence=fence, **self._cutting))
        )

    def release(self, claim: Claim, now: int | None = None) -> Settled:
        """Give a batch back; its attempt does not count."""
        return Settled(cast("Any", replies.text(self._of_claim("release", claim, now=_at(now)))))

    @property
    def _cutting(self) -> dict[str, int]:
        return {"max_batch": self.terms.max_batch, "max_bytes": self.terms.max_bytes}

    def _of_session(self, name: str, address: Address, /, **given: Any) -> Any:
        return self._call(name, self.prefix(address.partition), session=address.digest, **given)

    def _of_claim(self, name: str, claim: Claim, /, **given: Any) -> Any:
        address = claim.address
        return self._call(name, self.prefix(address.partition), session=address.digest, fence=claim.fence, **given)

    def reclaim(self, partition: str, outage: bool = False, now: int | None = None) -> list[Reclaimed]:
        """End leases that were not renewed."""
        limits = {"lease": self.terms.lease, "max_dead": self.terms.max_dead}
        found = self._call("reclaim", self.prefix(partition), now=_at(now), outage=int(outage), **limits)
        return [replies.reclaimed(partition, reply) for reply in found]

    def quarantine(self, claim: Claim, element: bytes) -> bool:
        """Set aside an element of the batch that cannot be read."""
        return bool(self._of_claim("quarantine", claim, element=element))

    def dispatch(
        self, partitions: Sequence[str], nonce: str, slots: int, now: int | None = None, queued: int = -1
    ) -> list[Dispatch]:
        """Decide what each partition needs: one round trip for all.

        With ``queued``, that many old kicks are known to lie in the broker and the others are forgotten.
        """
        found = self._call_all(
            "dispatch",
            partitions,
            now=_at(now),
            nonce=nonce,
            slots=slots,
            lease=self.terms.lease,
            interval=self.terms.interval,
            queued=queued,
        )
        return [replies.dispatch(reply) for reply in found]

    def unkick(self, partition: str, kicks: Sequence[tuple[Kind, str]]) -> int:
        """Forget kicks that could not be published."""
        joined = " ".join(kind + kick for kind, kick in kicks)
        return int(self._call("unkick", self.prefix(partition), kicks=joined))

    def stop(self, partitions: Sequence[str], worker: str, now: int | None = None) -> None:
        """Record that a worker was told to stop."""
        self._call_all("stop", partitions, now=_at(now), worker=worker, keep=2 * self.terms.max_run)

    def pause(self, address: Address, duration: int, now: int | None = None) -> None:
        """Stop a session for so many ms; 0 until resume."""
        self._of_session("pause", address, now=_at(now), duration=duration)

    def resume(self, address: Address, now: int | None = None) -> bool:
        """Let a stopped session go on; False when it was not stopped."""
        return bool(self._of_session("resume", address, now=_at(now)))

    def drop(self, address: Address, ticket: str, now: int | None = None) -> int:
        """Take out what waits; it can be read under the ticket for an hour."""
        return int(self._of_session("drop", address, now=_at(now), ticket=ticket))

    def dropped(self, partition: str, ticket: str, most: int = LOOK_AT) -> tuple[bytes, ...]:
        """Read a page of what a drop took out, once."""
        return tuple(self._call("dropped", self.prefix(partition), ticket=ticket, most=most))

    def remove(self, address: Address, id: str, now: int | None = None) -> bool:
        """Take one waiting message out; False when it does not wait."""
        return bool(self._search("remove", address, now=_at(now), id=id, **self._cutting))

    def replace(self, message: Outgoing, now: int | None = None) -> Replaced:
        """Give one waiting message another body."""
        reply = self._search(
            "replace",
            message.address,
            now=_at(now),
            id=message.id,
            has_headers=int("h" in message.flags),
            key=message.key,
            payload=message.payload,
            max_pending_bytes=self.terms.max_pending_bytes,
            **self._cutting,
        )
        return REPLACED[reply]

    def _search(self, name: str, address: Address, /, **given: Any) -> int:
        """Make a move that looks for a message, in as many calls as the search takes."""
        cursor = 0
        while True:
            outcome, *following = self._of_session(name, address, cursor=cursor, **given)
            if outcome != SEARCH_ON:
                return int(outcome)
            [cursor] = following

    def forget(self, partition: str, session: str, digest: str = "", now: int | None = None) -> tuple[int, int]:
        """Delete everything about a session in a partition: messages, and messages in dead letters.

        Without a digest it is the commands that were sent to the session.
        """
        removed = dead = since = 0
        while since >= 0:
            some, some_dead, since = self._call(
                "forget", self.prefix(partition), now=_at(now), wanted=session, digest=digest, since=since
            )
            removed, dead = removed + some, dead + some_dead
        return removed, dead

    def purge(self, partition: str, id: str, evicted: bool = False) -> int:
        """Delete a dead letter for good; evicted ones are counted."""
        return int(self._call("purge", self.prefix(partition), id=id, evicted=int(evicted)))

    def sessions(self, partition: str, first: int = 0, most: int = LOOK_AT) -> list[Listed]:
        """List a page of a partition's sessions."""
        found = self._call("sessions", self.prefix(partition), first=first, most=most)
        return [replies.listed(reply) for reply in found]

    def peek(self, address: Address, first: int = 0, last: int = 99) -> View | None:
        """Read a page of a session, in as many calls as its size takes; None when there is none."""
        read = self._of_session("peek", address, first=first, last=last, first_open=0)
        *_, batch, elements = read
        found = read
        while found[0] and not _is_whole(found, len(batch), first + len(elements), last):
            place = {"first": first + len(elements), "last": last, "first_open": len(batch)}
            found = self._of_session("peek", address, **place)
            if not found[-1] and not found[-2]:
                break
            batch += found[-2]
            elements += found[-1]
        return replies.view(read)

    def letters(self, partition: str, first: int = 0, last: int = 99, session: str = "") -> list[Letter]:
        """List a page of dead letters, oldest first, in as many calls as their size takes."""
        listed: list[Letter] = []
        while first >= 0:
            first, found = self._call("letters", self.prefix(partition), first=first, last=last, wanted=session)
            listed += map(replies.letter, found)
        return listed

    def redrive(self, id: str, address: Address, debounce: int, max_wait: int, now: int | None = None) -> int:
        """Bring a dead letter back to its session."""
        return int(
            self._call(
                "redrive",
                self.prefix(address.partition),
                now=_at(now),
                id=id,
                session=address.digest,
                debounce=debounce,
                max_wait=max_wait,
                max_batch=self.terms.max_batch,
                max_bytes=self.terms.max_bytes,
            )
        )

    def stats(self, partitions: Sequence[str]) -> list[Depths]:
        """Read counters and depths: one round trip for all."""
        return [replies.depths(reply) for reply in self._call_all("stats", partitions)]

    # The workers of the inbox.

    def share(
        self,
        worker: str,
        fixed: Sequence[str],
        held: Sequence[str],
        partitions: int,
        bury: bool = True,
        now: int | None = None,
    ) -> list[str]:
        """Tell that a worker lives and what it consumes; the reply is what it may consume as its share.

        Args:
            worker: Its identity.
            fixed: Partitions that it serves whatever others do.
            held: Partitions that it consumes as its share.
            partitions: How many are shared out; 0 for a worker that takes no share.
            bury: Free what those workers held that have not told for a lease.
            now: As everywhere.
        """
        telling = {"worker": worker, "fixed": " ".join(fixed), "held": " ".join(held), "partitions": partitions}
        lease = self.terms.lease if bury else 0
        return [replies.text(each) for each in self.ask_inbox("share", now=_at(now), lease=lease, **telling)]

    def leave(self, worker: str) -> None:
        """Tell that a worker ends; its share is free at once."""
        self.ask_inbox("leave", worker=worker)

    def prove(self, worker: str, now: int | None = None) -> None:
        """Record that a worker consumes."""
        self.ask_inbox("prove", now=_at(now), worker=worker)

    def workers(self, now: int | None = None) -> list[Serving]:
        """List the workers that tell that they live."""
        found, at = self.ask_inbox("workers", now=_at(now))
        return [replies.serving(reply) for reply in found if int(reply[1]) > int(at) - self.terms.lease]

    # Waking dispatchers.

    def wakes(self, partitions: Sequence[str]) -> Any:
        """Subscribe to the calls that wake a dispatcher before its time."""
        with storage_errors():
            subscription = self.link.subscription(self.inbox_prefix)
            subscription.subscribe(f"{self.inbox_prefix}:shares", *map(self._wake, partitions))
        return subscription

    def rewake(self, subscription: Any, new: Sequence[str], gone: Sequence[str]) -> None:
        """Hear of other partitions than before."""
        with storage_errors():
            if new:
                subscription.subscribe(*map(self._wake, new))
            if gone:
                subscription.unsubscribe(*map(self._wake, gone))

    def _wake(self, partition: str) -> str:
        return f"{self.prefix(partition)}:wake"

    def woken(self, subscription: Any, seconds: float) -> tuple[str, int] | None:
        """Wait for a wake: the partition, or ``SHARES``, and in how many ms something is due there.

        None after so many seconds.
        """
        with storage_errors():
            message = subscription.get_message(timeout=seconds)
        if message is None:
            return None
        return replies.wake(message["data"])


def _is_whole(found: Sequence[Any], open: int, following: int, last: int) -> bool:
    """Whether a peek has got all that it asked for."""
    waiting, size = int(found[4]), int(found[5])
    return open >= size and following >= (waiting if last < 0 else min(waiting, last + 1))


def _at(now: int | None) -> int | str:
    return CLOCK if now is None else now
