"""Safe retries: of all requests with one key one does the work, and the others get what came of it.

    begin --> Lead     the caller does the work, then: finish in the commit that bills, and `finished`,
          |            or `release` where nothing was billed; `release` again, or after `ending`, does nothing;
          |            or `withdraw` where the request was refused: another may then have the key
          |-> Replay   what came of it before, also where the caller had to wait for it
          '-> Conflict after 60 s of waiting, or IdempotencyError: the key is another request's

    first in this process --claim--> leads, or follows a leader elsewhere: the row is looked at every 250 ms
    the others of this process ----> wait for that one; if it gives up, the next of them is the first

A lead is held by a lease that this service renews; where the process dies it lapses, and the next retry takes over.
Decides nothing about money and knows no wire format: an answer is a status, a type and bytes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import Conflict, IdempotencyError
from ingot.logs import Log
from ingot.store import idempotency as store
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.idempotency import Claim, Held, Kept, Lead, Mismatched, Scope
from ingot.store.schema import micros
from ingot.upkeep import endure

__all__ = ["Lead", "Replay", "Retries", "Scope"]

Replay = Kept
"""A stored outcome: `response_id`, `status`, `content_type`, the body's bytes in `answer`, and `losses`."""

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.25
PAUSE_SECONDS = 1.0
RENEW_SECONDS = 10.0
RETRY_AFTER_SECONDS = 5.0

_Place = tuple[Scope, str]


@dataclass(slots=True, eq=False)
class _First:
    """The first of this process that asks with a key; the others wait for `outcome`: a Replay, or None to try anew."""

    fingerprint: bytes
    path: str
    outcome: "asyncio.Future[Replay | None]"
    lead: Lead | None = None
    ending: bool = False


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a caller of `begin` wants."""

    scope: Scope
    key: str
    path: str
    fingerprint: bytes
    response_id: str
    shown: str
    deadline: float = field(compare=False)

    @property
    def place(self) -> _Place:
        return (self.scope, self.key)


class Retries:
    """The idempotency keys of one database, as one process sees them. Belongs to one event loop."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        log: Log,
        new_id: ids.NewId = ids.new_id,
        patience: float = PATIENCE_SECONDS,
        poll: float = POLL_SECONDS,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        """`patience`, `poll` and `pause`, before what was not written is tried again, are seconds of the event loop."""
        self.owner = new_id("own")
        self._db = db
        self._clock = clock
        self._log = log
        self._patience = patience
        self._poll = poll
        self._firsts: dict[_Place, _First] = {}
        self._leads: dict[Lead, _First] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._pause = pause
        self._unreleased: list[Lead] = []
        self._releasing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        db: Database,
        *,
        clock: Clock,
        log: Log,
        patience: float = PATIENCE_SECONDS,
        poll: float = POLL_SECONDS,
    ) -> Self:
        """The service in force: leads of processes that cannot be alive are void, and its own are renewed."""
        made = cls(db, clock=clock, log=log, patience=patience, poll=poll)
        await db.write(partial(store.void_leases, owner=made.owner))
        made._renewing = asyncio.get_running_loop().create_task(
            endure(made._renew_for_ever, name="retries", log=log)
        )
        return made

    async def close(self) -> None:
        """Releases what is still led, so that no retry must wait for a lease; call it before the database's."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await asyncio.gather(*map(self.release, list(self._leads)))
        await asyncio.gather(*self._background)
        if self._releasing is not None:
            self._releasing.cancel()
            await asyncio.gather(self._releasing, return_exceptions=True)

    async def begin(
        self,
        scope: Scope,
        key: str,
        *,
        path: str,
        fingerprint: bytes,
        response_id: str,
        shown: str | None = None,
    ) -> Lead | Replay:
        """What to do about a request with a key; waits while another does the work.

        `path` is where the request was sent, behind an @ by which rules it is read; it tells requests apart in errors.
        `response_id` is fresh; the lead names the one to use. `shown` is what errors call a key that is not stored as
        its client sent it. Raises IdempotencyError, Conflict, StoreError. A caller that is cancelled leaves nothing behind.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        wish = _Wish(
            scope,
            key,
            path,
            fingerprint,
            response_id,
            shown=key if shown is None else shown,
            deadline=deadline,
        )
        while True:
            first = self._firsts.get(wish.place)
            if first is None:
                first = self._firsts[wish.place] = _First(fingerprint, path, loop.create_future())
                return await self._pursue(wish, first)
            if first.fingerprint == fingerprint:
                replay = await self._wait_for(first, wish)
                if replay is not None:
                    return replay
            elif first.lead is not None:
                raise _reused(wish, first.path)
            else:
                # Which of the two the key belongs to is not known yet: the database decides.
                return await self._pursue(wish, _First(fingerprint, path, loop.create_future()))

    def ending(self, lead: Lead) -> None:
        """The outcome is on its way to the commit that keeps it: `finished` or `fenced` will follow, and `release` waits for neither."""
        first = self._leads.get(lead)
        if first is not None:
            first.ending = True

    def finished(
        self, lead: Lead, *, status: int, content_type: str, answer: bytes, losses: str | None = None
    ) -> None:
        """The outcome was committed by `store.finish`: those who wait get it. After False call `fenced` instead."""
        replay = Replay(lead.response_id, status, content_type=content_type, answer=answer, losses=losses)
        self._end(lead, replay)

    def fenced(self, lead: Lead) -> None:
        """The lead was lost: those who wait ask the database."""
        self._end(lead, None)

    def unwritten(self, lead: Lead) -> None:
        """The outcome was not committed, as far as is known: the lead is given up once the database takes that down."""
        self._end(lead, None)
        self._release_later(lead)

    async def release(self, lead: Lead) -> None:
        """Gives the lead up, nothing having been billed; does nothing for one that is over, or ending. Never raises."""
        await self._give_up(lead, partial(store.release, lead=lead, now=micros(self._clock.now())))

    async def withdraw(self, lead: Lead) -> None:
        """As `release`, and the key is free for any request: this one was refused and has done nothing."""
        await self._give_up(lead, partial(store.withdraw, lead=lead))

    async def renew(self) -> None:
        """Prolongs the leases of all that is led here."""
        if not self._leads:
            return
        response_ids = [lead.response_id for lead in self._leads]
        now = micros(self._clock.now())
        try:
            await self._db.write(partial(store.renew, owner=self.owner, response_ids=response_ids, now=now))
        except StoreError as error:
            # The next time is in time: a lease outlives two that fail.
            self._log.warning("idempotency_leases_not_renewed", leads=len(response_ids), error=error.message)

    # ---- one process, many requests

    async def _wait_for(self, first: _First, wish: _Wish) -> Replay | None:
        left = wish.deadline - asyncio.get_running_loop().time()
        try:
            # Shielded: one who leaves must not take the outcome from the others.
            return await asyncio.wait_for(asyncio.shield(first.outcome), max(0.0, left))
        except TimeoutError:
            raise _in_use(wish.shown) from None

    async def _pursue(self, wish: _Wish, first: _First) -> Lead | Replay:
        """Asks the database until it knows; leaves `first` open only with the lead."""
        outcome: Lead | Replay | None = None
        try:
            outcome = await self._ask(wish)
        finally:
            if isinstance(outcome, Lead):
                first.lead = outcome
                self._firsts[wish.place] = first
                self._leads[outcome] = first
            else:
                self._resolve(wish.place, first, outcome)
        return outcome

    async def _ask(self, wish: _Wish) -> Lead | Replay:
        loop = asyncio.get_running_loop()
        while True:
            claim = await self._claim(wish)
            while isinstance(claim, Held):
                left = wish.deadline - loop.time()
                if left <= 0:
                    raise _in_use(wish.shown)
                await asyncio.sleep(min(self._poll, left))
                now = micros(self._clock.now())
                found = await self._db.read(partial(store.find, scope=wish.scope, key=wish.key, now=now))
                if found is None:
                    break
                claim = found
            if isinstance(claim, Mismatched):
                raise _reused(wish, claim.path)
            if isinstance(claim, Lead | Kept):
                return claim

    async def _claim(self, wish: _Wish) -> Claim:
        """Asks for the lead; a caller that is gone by then gives it back."""
        statement = partial(
            store.claim,
            scope=wish.scope,
            key=wish.key,
            path=wish.path,
            fingerprint=wish.fingerprint,
            response_id=wish.response_id,
            owner=self.owner,
            now=micros(self._clock.now()),
        )
        asked = asyncio.ensure_future(self._db.write(statement))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise

    def _give_back(self, asked: "asyncio.Future[Claim]") -> None:
        if asked.cancelled() or asked.exception() is not None:
            return
        claim = asked.result()
        if isinstance(claim, Lead):
            now = micros(self._clock.now())
            self._in_background(self._free(claim, partial(store.release, lead=claim, now=now)))

    async def _give_up(self, lead: Lead, statement: Callable[[Connection], bool]) -> None:
        first = self._leads.get(lead)
        if first is None or first.ending:
            return
        try:
            await self._uncancelled(self._free(lead, statement))
        finally:
            self._end(lead, None)

    async def _free(self, lead: Lead, statement: Callable[[Connection], bool]) -> None:
        try:
            await self._db.write(statement)
        except StoreError as error:
            self._log.warning(
                "idempotency_key_not_released", response_id=lead.response_id, error=error.message
            )
            self._release_later(lead)

    def _end(self, lead: Lead, outcome: Replay | None) -> None:
        first = self._leads.pop(lead, None)
        if first is not None:
            self._resolve((lead.scope, lead.key), first, outcome)

    def _resolve(self, place: _Place, first: _First, outcome: Replay | None) -> None:
        if self._firsts.get(place) is first:
            del self._firsts[place]
        if not first.outcome.done():
            first.outcome.set_result(outcome)

    # ---- beside the requests

    def _release_later(self, lead: Lead) -> None:
        """Tries until it is written, so that no retry must wait for the lease; where the process ends before, it lapses."""
        self._unreleased.append(lead)
        if self._releasing is None or self._releasing.done():
            self._releasing = asyncio.get_running_loop().create_task(
                endure(self._release_unreleased, name="retries", log=self._log)
            )

    async def _release_unreleased(self) -> None:
        while self._unreleased:
            await asyncio.sleep(self._pause)
            leads = list(self._unreleased)
            now = micros(self._clock.now())
            with contextlib.suppress(StoreError):
                await self._db.write(partial(_release_all, leads=leads, now=now))
                del self._unreleased[: len(leads)]

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.renew()

    async def _uncancelled(self, work: Coroutine[Any, Any, None]) -> None:
        """Waits for `work`, which runs to its end also where the caller is cancelled."""
        await asyncio.shield(self._in_background(work))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def _release_all(conn: Connection, leads: Sequence[Lead], *, now: int) -> None:
    """Each that somebody else has by now, or whose outcome was kept after all, stays as it is."""
    for lead in leads:
        store.release(conn, lead, now=now)


def _reused(wish: _Wish, before: str) -> IdempotencyError:
    return IdempotencyError(
        f"The idempotency key '{wish.shown}' was used for another request: {_difference(before, wish.path)}. Send a new "
        f"key, or the same path and body, 'stream' included, as the first time.",
        param="Idempotency-Key",
    )


def _difference(before: str, now: str) -> str:
    """What is known of how two requests differ; of the first its path and its rules are kept, and no body."""
    (old_path, _, old_rules), (path, _, rules) = before.partition("@"), now.partition("@")
    if old_path != path:
        return f"the first went to {old_path}, this one to {path}"
    if old_rules != rules:
        return f"the first went to a host with the preset '{old_rules}', which reads a body by other rules than '{rules}' here"
    return "its body was another one"


def _in_use(key: str) -> Conflict:
    return Conflict(
        f"The first request with the idempotency key '{key}' still runs. Send the same again in a moment.",
        param="Idempotency-Key",
        code="idempotency_key_in_use",
        retry_after=RETRY_AFTER_SECONDS,
        headers=(("x-should-retry", "true"),),
    )
