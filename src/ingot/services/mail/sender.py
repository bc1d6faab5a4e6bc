"""The task that sends mail: leases due rows of the outbox, has each written, hands it to a post.

    due --lease 2 min--> written --sent-----> done
                            |-----void------> done, "void": what it was about is over
                            |-----fault-----> due again after 30 s, 1 min, 2 min, ... 1 h
                            '-----final fault, or 16 tries (half a day)--> done, with the reason

Any number of processes may run it on one database: a lease keeps them apart. Sending is at least once. Decides about
time alone: neither what a mail says nor how it leaves. Logs ids and reasons, no address.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from ingot.clock import Clock
from ingot.ids import NewId, new_id
from ingot.logs import Log
from ingot.store import outbox
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.outbox import OutboxRow
from ingot.store.schema import micros
from ingot.upstream.mail import Letter, MailFault, Post

KIND = "mail"
LEASE_SECONDS = 120.0
FIRST_DELAY = 30.0
LONGEST_DELAY = 3600.0
MOST_TRIES = 16
POLL_SECONDS = 1.0
KEPT_SECONDS = 7 * 86400.0
PRUNE_SECONDS = 3600.0


class Written(Protocol):
    """A mail's words."""

    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> str: ...


Write = Callable[[OutboxRow, str], Awaitable[Written | None]]
"""Writes a leased mail, given who holds the lease; None where it is no longer due."""


def delay(tries: int) -> float:
    """Seconds to wait after so many tries."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(tries - 1, 20))


class MailSender:
    """Sends the mail of one database; `run` is a task, `close` ends it."""

    def __init__(
        self, db: Database, *, post: Post, write: Write, clock: Clock, log: Log, ids: NewId = new_id
    ) -> None:
        self._db = db
        self._post = post
        self._write = write
        self._clock = clock
        self._log = log
        self._owner = ids("sender")
        self._closing = asyncio.Event()
        self._pruned_at = float("-inf")

    async def run(self) -> None:
        """Sends what is due, every second, until `close`; a fault of the database is waited out."""
        while not self._closing.is_set():
            try:
                busy = await self.send_due()
                await self._prune()
            except StoreError as error:
                busy = 0
                self._log.warning("mail_not_read", error=error.message)
            if not busy:
                await self._rest()

    async def close(self) -> None:
        """Ends `run` once the mail in hand has left."""
        self._closing.set()

    async def send_due(self) -> int:
        """Sends what is due now, in turn; how many were tried."""
        now = self._clock.now()
        if not await self._db.read(partial(outbox.any_due, kind=KIND, now=micros(now))):
            return 0  # a look costs no commit
        lease = partial(
            outbox.lease,
            kind=KIND,
            owner=self._owner,
            now=micros(now),
            until=micros(now + LEASE_SECONDS),
            limit=5,
        )
        rows = await self._db.write(lease)
        for row in rows:
            await self._send(row)
        return len(rows)

    async def _send(self, row: OutboxRow) -> None:
        try:
            words = await self._write(row, self._owner)
            if words is None:
                await self._finish(row, error="void")
                return
            await self._post.send(Letter(row.id, row.address, words.subject, words.body))
        except MailFault as fault:
            await self._fail(row, fault.reason, final=fault.final)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # logged; one mail that cannot be written must not stop the others
            self._log.error("mail_failed", mail=row.id, exc_info=error)
            await self._fail(row, type(error).__name__, final=False)
        else:
            await self._finish(row, error=None)

    async def _fail(self, row: OutboxRow, reason: str, *, final: bool) -> None:
        if final or row.attempts >= MOST_TRIES:
            self._log.error("mail_given_up", mail=row.id, reason=reason, tries=row.attempts)
            await self._finish(row, error=reason)
            return
        wait = delay(row.attempts)
        self._log.warning("mail_delayed", mail=row.id, reason=reason, tries=row.attempts, seconds=wait)
        due = micros(self._clock.now() + wait)
        await self._db.write(partial(outbox.retry, post_id=row.id, owner=self._owner, due=due, error=reason))

    async def _finish(self, row: OutboxRow, *, error: str | None) -> None:
        at = micros(self._clock.now())
        await self._db.write(partial(outbox.finish, post_id=row.id, owner=self._owner, at=at, error=error))

    async def _prune(self) -> None:
        """Forgets mail that has left a week ago; looks once an hour."""
        if self._clock.monotonic() < self._pruned_at + PRUNE_SECONDS:
            return
        self._pruned_at = self._clock.monotonic()
        before = micros(self._clock.now() - KEPT_SECONDS)
        await self._db.write(partial(outbox.prune, kind=KIND, before=before))

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            return
