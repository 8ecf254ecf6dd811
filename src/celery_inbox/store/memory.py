"""The same moves in plain Python: description of the protocol, fake of tests, model of the Lua."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from celery_inbox.element import COMMAND, MESSAGE, Header, Kind, pack, unpack
from celery_inbox.store.keys import Address
from celery_inbox.store.moves import (
    CRASHED,
    GENERATED_TTL,
    LOOK_AT,
    MOST_BATCHES,
    MOST_RECLAIMED,
    MOST_REMEMBERED,
    NEVER,
    Cancelled,
    Claim,
    Depths,
    Dispatch,
    Letter,
    Listed,
    Outgoing,
    Plan,
    Reclaimed,
    Sent,
    Settled,
    Standing,
    State,
    Terms,
    View,
)
from celery_inbox.store.partition import Partition, Remembered, Session, marked, read


class MemoryStore:
    """One inbox's sessions in this process."""

    def __init__(self, terms: Terms, clock: Callable[[], int] | None = None) -> None:
        self.terms = terms
        self.clock = clock or (lambda: time.time_ns() // 1_000_000)
        self.partitions: dict[str, Partition] = {}
        self._recorded: tuple[int, str] | None = None

    def _at(self, name: str, now: int | None = 0) -> tuple[Partition, int]:
        if name not in self.partitions:
            self.partitions[name] = Partition(name, self.terms)
        return self.partitions[name], self.clock() if now is None else now

    def _found(self, address: Address, now: int | None = 0) -> tuple[Partition, Session | None, int]:
        partition, at = self._at(address.partition, now)
        return partition, partition.sessions.get(address.digest), at

    def register(self, partitions: int, serializer: str) -> tuple[int, str]:
        self._recorded = self._recorded or (partitions, serializer)
        return self._recorded

    # Sending.

    def send(self, message: Outgoing, now: int | None = None) -> Sent:
        terms, digest = self.terms, message.address.digest
        partition, found, now = self._found(message.address, now)
        session = found or Session(message.address.session, message.debounce, message.max_wait)
        size, active = len(message.payload), "a" in message.flags

        def answer(status: Literal["accepted", "duplicate", "ignored", "full"], dropped: Sequence[str] = ()) -> Sent:
            return Sent(status, len(session.waiting), session.bytes, partition.due.get(digest), tuple(dropped))

        # A caller that sends again by itself passes the generated id that the error carries.
        ids, id, ttl = partition.generated, digest + message.id, GENERATED_TTL
        seen = ids.holds(id, now, ttl)
        if not message.generated:
            ids, id, ttl = partition.ids.setdefault(digest, Remembered()), message.id, terms.dedup_ttl
            seen = seen or ids.holds(id, now, ttl)
        if seen:
            return answer("duplicate")
        if terms.active_window >= 0 and not active:
            opened_at = partition.windows.get(digest)
            if opened_at is None or now - opened_at > terms.active_window:
                return answer("ignored")
        dropping = self._room_for(session, size)
        if dropping is None:
            return answer("full")
        if dropping:
            del session.waiting[: len(dropping)]
            partition.counts["dropped"] += len(dropping)
            session.bytes -= sum(header.size for header in dropping)
            session.flush = max(session.flush - len(dropping), 0)
            head = read(session.waiting[0]) if session.waiting else "corrupt"
            if isinstance(head, Header):
                session.key, session.head = head.key, head.kind

        first = not session.waiting
        header = Header(message.kind, message.flags, now, size, message.key, message.id)
        session.waiting.append(pack(header, message.payload))
        partition.sessions[digest] = session
        partition.counts["accepted"] += 1
        evicted = ids.add(id, now, ttl, MOST_REMEMBERED if message.generated else terms.max_ids)
        if evicted and not message.generated:
            partition.counts["ids_evicted"] += evicted
        if active and terms.active_window > 0:
            partition.windows[digest] = now

        if first:
            session.key, session.head = message.key, message.kind
            if not dropping:
                session.deadline_at, session.active, session.closed = now + message.max_wait, False, False
        session.bytes += size
        session.debounce, session.max_wait = message.debounce, message.max_wait
        session.active = session.active or active
        if active:
            session.active_at = now
        if message.flush:
            session.flush = len(session.waiting)
        full = len(session.waiting) >= terms.max_batch or session.bytes >= terms.max_bytes
        session.closed = session.closed or message.kind == COMMAND or message.key != session.key or full
        if not session.batch_id and digest not in partition.stopped:
            partition.arm(digest, now)
        return answer("accepted", [header.id for header in dropping])

    def _room_for(self, session: Session, size: int) -> list[Header] | None:
        """The oldest messages that must go to make room; None when there is no room to make."""
        dropping: list[Header] = []
        count, held = len(session.waiting), session.bytes
        while count + 1 > self.terms.max_pending or held + size > self.terms.max_pending_bytes:
            oldest = read(session.waiting[len(dropping)]) if self.terms.drop_oldest and count else "corrupt"
            if isinstance(oldest, str) or oldest.kind == COMMAND:
                return None
            dropping.append(oldest)
            count, held = count - 1, held - oldest.size
        return dropping

    def send_many(self, messages: Sequence[Outgoing], now: int | None = None) -> list[Sent]:
        return [self.send(message, now) for message in messages]

    async def asend(self, message: Outgoing) -> Sent:
        return self.send(message)

    def touch(self, address: Address, now: int | None = None) -> int | None:
        partition, session, now = self._found(address, now)
        if session is None or not session.waiting:
            return None
        if address.digest not in partition.stopped and (session.fence or not session.batch_id):
            session.active_at = now
            if not session.batch_id:
                partition.arm(address.digest, now)
        return partition.due.get(address.digest)

    def flush(self, address: Address, now: int | None = None) -> int:
        partition, session, now = self._found(address, now)
        if session is None:
            return 0
        session.flush = len(session.waiting)
        if session.fence:
            return len(session.waiting)
        if session.batch_id:
            session.retry_at = now
        if address.digest not in partition.stopped:
            partition.arm(address.digest, now)
        return len(session.waiting) + len(session.batch)

    # Claiming.

    def claim(self, partition: str, token: str, plan: Plan, kick: str = "", now: int | None = None) -> Claim | None:
        slice_, now = self._at(partition, now)
        if kick:
            slice_.kicks.pop(plan.kind + kick, None)
        return slice_.claim_next(token, plan, now)

    def renew(self, claim: Claim, now: int | None = None) -> bool:
        partition, session, now = self._found(claim.address, now)
        if session is None or session.fence != claim.fence:
            return False
        partition.leased[claim.address.digest] = now + self.terms.lease
        return True

    def standing(self, claim: Claim) -> Standing:
        _, session, _ = self._found(claim.address)
        if session is None or session.fence != claim.fence:
            return "lost"
        return "cancelled" if session.cancelled else "held"

    def take_new(self, claim: Claim, known: int) -> tuple[bytes, ...] | None:
        partition, session, _ = self._found(claim.address)
        if session is None or session.fence != claim.fence:
            return None
        count = len(session.batch)
        if session.kind == MESSAGE and 0 < count <= known:
            room = min(self.terms.max_batch, MOST_BATCHES * self.terms.max_batch - count)
            if room > 0:
                partition.cut(session, MESSAGE, room, unpack(session.batch[-1])[0].key)
            partition.leave(session)
        return tuple(session.batch[known:])

    # Settling.

    def ack(self, claim: Claim, token: str = "", plan: Plan | None = None, now: int | None = None) -> Settled:
        partition, now = self._at(claim.address.partition, now)
        digest, handled = claim.address.digest, 0
        outcome = partition.standing(digest, claim.fence, now)
        if outcome == "held":
            outcome, handled = "done", len(partition.sessions[digest].batch)
            partition.remember_settled(claim.fence, now)
            partition.counts["handled"] += handled
            partition.close_batch(digest, now)
        following = partition.claim_next(token, plan or Plan(), now) if token else None
        return Settled(outcome, handled, next=following)

    def nack(self, claim: Claim, delay: int, reason: str = "", traceback: str = "", now: int | None = None) -> Settled:
        partition, now = self._at(claim.address.partition, now)
        digest, outcome = claim.address.digest, partition.standing(claim.address.digest, claim.fence, now)
        if outcome != "held":
            return Settled(outcome)
        partition.remember_settled(claim.fence, now)
        session = partition.sessions[digest]
        if not session.batch:
            partition.close_batch(digest, now)
            return Settled("done")
        if delay >= 0 and session.attempt < session.plan.max_attempts:
            partition.back_off(digest, now + delay, now)
            return Settled("retry", retry_at=now + delay)
        on_exhausted = "park" if delay < 0 else session.plan.on_exhausted
        return partition.exhaust(digest, now, reason, traceback, on_exhausted)

    def release(self, claim: Claim, now: int | None = None) -> Settled:
        partition, now = self._at(claim.address.partition, now)
        digest, outcome = claim.address.digest, partition.standing(claim.address.digest, claim.fence, now)
        if outcome != "held":
            return Settled(outcome)
        partition.remember_settled(claim.fence, now)
        partition.sessions[digest].attempt -= 1
        partition.back_off(digest, now, now)
        return Settled("done")

    def cancel(self, address: Address, fence: int = 0, now: int | None = None) -> Cancelled:
        partition, session, now = self._found(address, now)
        if fence:
            outcome = partition.standing(address.digest, fence, now)
            if outcome != "held":
                return outcome
            partition.remember_settled(fence, now)
        elif session is not None and session.fence:
            session.cancelled = True
            return "marked"
        elif session is None or not session.batch_id:
            return "nothing"
        partition.settle_cancelled(address.digest, now)
        return "done"

    def reclaim(self, partition: str, outage: bool = False, now: int | None = None) -> list[Reclaimed]:
        slice_, now = self._at(partition, now)
        if outage:
            slice_.grace_until = now + self.terms.lease
        if slice_.grace_until > now:
            return []
        over = sorted((end, digest) for digest, end in slice_.leased.items() if end <= now)
        return [self._reclaim(slice_, digest, now) for _, digest in over[:MOST_RECLAIMED]]

    def _reclaim(self, partition: Partition, digest: str, now: int) -> Reclaimed:
        session = partition.sessions[digest]
        assert session.fence is not None
        assert session.batch_id is not None
        told = Reclaimed(
            Address(partition.name, digest, session.name), session.fence, session.attempt, "retry", session.batch_id
        )
        if session.plan.worker in partition.stopping:
            session.attempt -= 1
        if not session.batch:
            partition.close_batch(digest, now)
        elif session.attempt >= session.plan.max_attempts:
            exhausted = partition.exhaust(digest, now, "crashed", CRASHED, session.plan.on_exhausted)
            return replace(told, outcome=exhausted.outcome)
        else:
            partition.back_off(digest, now, now)
        return told

    def quarantine(self, claim: Claim, element: bytes) -> bool:
        partition, session, _ = self._found(claim.address)
        if session is None or session.fence != claim.fence or element not in session.batch:
            return False
        session.batch.remove(element)
        partition.set_aside(element)
        return True

    # Dispatching.

    def dispatch(
        self, partitions: Sequence[str], nonce: str, slots: int, now: int | None = None, queued: int = -1
    ) -> list[Dispatch]:
        return [self._dispatch(*self._at(name, now), nonce, slots, queued) for name in partitions]

    def _dispatch(self, partition: Partition, now: int, nonce: str, slots: int, queued: int) -> Dispatch:
        partition.looked_at = now
        old = sorted((at, kick) for kick, at in partition.kicks.items() if at <= now - self.terms.lease)
        if queued >= 0:
            for _, kick in old[queued:]:
                del partition.kicks[kick]
            partition.kicks.update({kick: now for _, kick in old[:queued]})
            old = []
        over = sorted((end, digest) for digest, end in partition.stopped.items() if end <= now)
        for _, digest in over[:LOOK_AT]:
            partition.arm(digest, now)
        kicks: list[tuple[Kind, str]] = []
        due = partition.longest_due(now, 2 * slots)
        if due:
            wanted = Counter[str](partition.sessions[digest].next_kind for digest in due)
            wanted.subtract(kick[0] for kick in partition.kicks)
            for kind in (MESSAGE, COMMAND):
                for number in range(1, wanted[kind] + 1):
                    kicks.append((kind, f"{nonce}-{partition.name}-{kind}{number}"))
                    partition.kicks[kind + kicks[-1][1]] = now
        look_at = min([now + self.terms.interval, *(at for at in partition.due.values() if at > now)])
        look_at = min([look_at, *(max(end, now) for end in partition.stopped.values())])
        expired = 0
        if partition.leased and partition.grace_until <= now:
            expired = sum(end <= now for end in partition.leased.values())
            look_at = min(look_at, max(min(partition.leased.values()), now))
        return Dispatch(look_at - now, expired, len(old), tuple(kicks))

    def unkick(self, partition: str, kicks: Sequence[tuple[Kind, str]]) -> int:
        recorded = self._at(partition)[0].kicks
        return sum(recorded.pop(kind + kick, None) is not None for kind, kick in kicks)

    def stop(self, partitions: Sequence[str], worker: str, now: int | None = None) -> None:
        for name in partitions:
            partition, at = self._at(name, now)
            forgotten = at - 2 * self.terms.max_run
            partition.stopping = {each: since for each, since in partition.stopping.items() if since > forgotten}
            partition.stopping[worker] = at

    # Looking after sessions.

    def pause(self, address: Address, duration: int, now: int | None = None) -> None:
        partition, session, now = self._found(address, now)
        partition.pauses[address.digest] = now + duration if duration else NEVER
        if session is not None and not session.fence:
            partition.arm(address.digest, now)

    def resume(self, address: Address, now: int | None = None) -> bool:
        partition, session, now = self._found(address, now)
        was_stopped = partition.pauses.pop(address.digest, None) is not None
        if session is None:
            return was_stopped
        if session.held:
            was_stopped, session.held, session.attempt, session.retry_at = True, False, 0, now
        if not session.fence:
            partition.arm(address.digest, now)
        return was_stopped

    def drop(self, address: Address, ticket: str, now: int | None = None) -> int:
        partition, session, now = self._found(address, now)
        if ticket in partition.dropped:
            return len(partition.dropped[ticket])
        if session is None:
            return 0
        out, session.waiting = session.waiting, []
        if session.batch_id and not session.fence:
            out, session.batch = [*session.batch, *out], []
        if out:
            partition.dropped[ticket] = out
        partition.counts["dropped"] += len(out)
        session.bytes, session.flush, session.closed, session.active = 0, 0, False, False
        session.key, session.head = "-", MESSAGE
        if not session.fence:
            partition.close_batch(address.digest, now)
        return len(out)

    def dropped(self, partition: str, ticket: str, most: int = LOOK_AT) -> tuple[bytes, ...]:
        out = self._at(partition)[0].dropped
        page, rest = out.get(ticket, [])[:most], out.pop(ticket, [])[most:]
        if rest:
            out[ticket] = rest
        return tuple(page)

    def remove(self, address: Address, id: str, now: int | None = None) -> bool:
        partition, session, now = self._found(address, now)
        found = session and partition.find(session, id)
        if not session or not found:
            return False
        index, header = found
        del session.waiting[index]
        partition.counts["removed"] += 1
        session.bytes -= header.size
        if session.flush > index:
            session.flush -= 1
        partition.settle_edit(address.digest, now)
        return True

    def replace(self, message: Outgoing, now: int | None = None) -> Literal["replaced", "late", "full"]:
        partition, session, now = self._found(message.address, now)
        found = session and partition.find(session, message.id)
        if not session or not found:
            return "late"
        index, header = found
        size = len(message.payload)
        if session.bytes - header.size + size > self.terms.max_pending_bytes:
            return "full"
        flags = header.flags.replace("h", "").replace("-", "") + ("h" if "h" in message.flags else "")
        key = header.key if header.redriven or header.isolated else message.key
        session.waiting[index] = pack(replace(header, flags=flags or "-", size=size, key=key), message.payload)
        session.bytes += size - header.size
        partition.settle_edit(message.address.digest, now)
        return "replaced"

    def forget(self, partition: str, session: str, digest: str = "", now: int | None = None) -> tuple[int, int]:
        slice_, now = self._at(partition, now)
        digests = [digest] if digest else [key for key, found in slice_.sessions.items() if found.name == session]
        removed = 0
        for each in digests:
            for marks in (slice_.ids, slice_.windows, slice_.rests, slice_.pauses):
                marks.pop(each, None)
            found = slice_.sessions.get(each)
            if found is not None:
                removed += len(found.waiting) + len(found.batch)
                found.waiting = []
                slice_.close_batch(each, now)
        letters = [letter for letter in slice_.letters.values() if letter.session == session]
        for letter in letters:
            del slice_.letters[letter.id]
        if removed:
            slice_.counts["removed"] += removed
        return removed, sum(len(letter.elements) for letter in letters)

    # Dead letters.

    def letters(self, partition: str, first: int = 0, last: int = 99, session: str = "") -> list[Letter]:
        letters = sorted(self._at(partition)[0].letters.values(), key=lambda letter: (letter.at, letter.id))
        found = letters[first : None if last == -1 else last + 1]
        return [letter for letter in found if session in ("", letter.session)]

    def redrive(self, id: str, address: Address, debounce: int, max_wait: int, now: int | None = None) -> int:
        partition, session, now = self._found(address, now)
        letter = partition.letters.pop(id, None)
        if letter is None:
            return 0
        session = partition.sessions.setdefault(address.digest, Session(letter.session, debounce, max_wait))
        if not session.waiting:
            session.deadline_at = now
        for element in letter.elements:
            session.waiting.append(marked(element, "r", id))
            session.bytes += unpack(element)[0].size
        partition.counts["dead"] -= len(letter.elements)
        partition.look(session)
        if not session.batch_id and address.digest not in partition.stopped:
            partition.arm(address.digest, now)
        return len(letter.elements)

    def purge(self, partition: str, id: str, evicted: bool = False) -> int:
        slice_ = self._at(partition)[0]
        letter = slice_.letters.pop(id, None)
        if letter is None:
            return 0
        if evicted:
            slice_.counts["dead_evicted"] += len(letter.elements)
        return len(letter.elements)

    # Reading.

    def peek(self, address: Address, first: int = 0, last: int = 99) -> View | None:
        partition, session, _ = self._found(address)
        if session is None:
            return None
        return View(
            partition.due.get(address.digest),
            partition.leased.get(address.digest),
            partition.stopped.get(address.digest),
            len(session.waiting),
            session.batch_id,
            session.attempt,
            session.fence,
            tuple(session.batch),
            tuple(session.waiting[first : None if last == -1 else last + 1]),
        )

    def sessions(self, partition: str, first: int = 0, most: int = LOOK_AT) -> list[Listed]:
        slice_ = self._at(partition)[0]
        listed: list[Listed] = []
        sets: dict[State, dict[str, int]] = {"due": slice_.due, "running": slice_.leased, "stopped": slice_.stopped}
        for state, members in sets.items():
            for at, digest in sorted((at, digest) for digest, at in members.items()):
                session = slice_.sessions[digest]
                size = len(session.batch)
                listed.append(Listed(session.name, state, at, len(session.waiting), size, session.attempt))
        return listed[first : first + most]

    def stats(self, partitions: Sequence[str]) -> list[Depths]:
        depths = []
        for name in partitions:
            found, _ = self._at(name)
            depths.append(
                Depths(
                    {counter: count for counter, count in found.counts.items() if count},
                    len(found.due),
                    len(found.leased),
                    len(found.stopped),
                    len(found.kicks),
                    len(found.letters),
                    min(found.due.values(), default=None),
                    found.looked_at,
                )
            )
        return depths
