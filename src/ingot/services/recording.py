"""Makes ended inferences durable: gathers what has ended and commits it together, one group after the other.

    record --> waiting --end of this turn of the loop--> group --commit--> everyone is told
                  ^------------- what comes meanwhile waits for the next group

No artificial delay where somebody waits: a group goes as soon as the one before it is on disk, so that an answer alone
waits for one commit and a thousand at once share it. Where a group fails, each of it is tried alone: one bad row takes nobody with it. What
was reserved for an inference is released once it is known what it cost.
"""

import asyncio
from functools import partial

from ingot.errors import Conflict
from ingot.logs import Log
from ingot.services.idempotency import Retries
from ingot.services.purse import Hold, Purse
from ingot.store.database import Database
from ingot.store.faults import StoreConflict, StoreError
from ingot.store.settle import Settlement, settle

RETRY_SECONDS = 1.0


class Fenced(Conflict):
    """Another process took over the request's idempotency key meanwhile; its answer counts."""

    code = "idempotency_key_in_use"


class _Entry:
    """A settlement on its way, and who waits for it."""

    __slots__ = ("hold", "settlement", "told")

    def __init__(self, settlement: Settlement, hold: Hold | None, told: "asyncio.Future[None]") -> None:
        self.settlement = settlement
        self.hold = hold
        self.told = told


class Recorder:
    """The writing side of stored responses and of the ledger; belongs to one event loop."""

    def __init__(
        self, db: Database, *, purse: Purse, retries: Retries, log: Log, pause: float = 0.0, node: str = ""
    ) -> None:
        """`node` names this start of the process. `pause` is how many seconds a group gathers where nobody waits for it to be durable: larger groups cost less."""
        self._db = db
        self._node = node
        self._pause = pause
        self._tried_at = 0.0
        self._purse = purse
        self._retries = retries
        self._log = log
        self._loop = asyncio.get_running_loop()
        self.failing_since: float | None = None
        """Since when nothing could be written, by the loop's clock; None while writing works."""
        self._waiting: list[_Entry] = []
        self._latest: asyncio.Future[None] | None = None
        self._busy = False
        self._alone: set[asyncio.Task[None]] = set()

    def record(self, settlement: Settlement, hold: Hold | None = None) -> "asyncio.Future[None]":
        """Done once it is durable; raises StoreError where it could not be written. May be left unawaited."""
        if settlement.lead is not None:
            # Whoever gives the lead up from here on must not overtake the commit that bills under it.
            self._retries.ending(settlement.lead)
        entry = _Entry(settlement, hold, self._loop.create_future())
        self._waiting.append(entry)
        self._latest = entry.told
        if not self._busy:
            self._busy = True
            self._soon()
        return entry.told

    async def caught_up(self) -> None:
        """Returns when all that was recorded so far is durable, or has failed."""
        if self._latest is not None:
            await asyncio.wait([self._latest])

    def may_try(self) -> bool:
        """Whether work may begin whose record must be written: while writing fails, one request a second finds out."""
        if self.failing_since is None:
            return True
        now = self._loop.time()
        if now - self._tried_at < RETRY_SECONDS:
            return False
        self._tried_at = now
        return True

    async def close(self) -> None:
        """Returns when all that was recorded is durable, or has failed."""
        while self._busy or self._waiting or self._alone:
            await asyncio.gather(*(each.told for each in self._waiting), *self._alone, return_exceptions=True)
            await asyncio.sleep(0.001)

    def _soon(self) -> None:
        if self._pause:
            self._loop.call_later(self._pause, self._commit)
        else:
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        if not group:
            self._busy = False
            return
        try:
            written = self._db.queue(
                partial(settle, entries=[each.settlement for each in group], node=self._node),
                locks={each.settlement.org_id for each in group},
            )
        except StoreError as error:
            self._busy = False
            for each in group:
                self._fail(each, error)
            return
        written.add_done_callback(partial(self._committed, group))

    def _committed(self, group: list[_Entry], written: "asyncio.Future[set[str]]") -> None:
        # Not at once: what the loop has ready now joins the next group.
        self._soon()
        error = written.exception()
        if error is None:
            fenced = written.result()
            for each in group:
                self._succeed(each, fenced=each.settlement.id in fenced)
        elif len(group) == 1:
            self._fail(group[0], error)
        else:
            task = self._loop.create_task(self._each_alone(group))
            self._alone.add(task)
            task.add_done_callback(self._alone.discard)

    async def _each_alone(self, group: list[_Entry]) -> None:
        for each in group:
            try:
                fenced = await self._db.write(
                    partial(settle, entries=[each.settlement], node=self._node),
                    locks=(each.settlement.org_id,),
                )
            except Exception as error:  # noqa: BLE001  # whatever it is belongs to who waits
                self._fail(each, error)
            else:
                self._succeed(each, fenced=bool(fenced))

    def _succeed(self, entry: _Entry, *, fenced: bool) -> None:
        settlement = entry.settlement
        self.failing_since = None
        if entry.hold is not None:
            self._purse.release(entry.hold, 0 if fenced else settlement.amount)
        if settlement.lead is not None:
            if fenced:
                self._retries.fenced(settlement.lead)
            else:
                self._retries.finished(
                    settlement.lead,
                    status=settlement.status,
                    content_type=settlement.content_type,
                    answer=settlement.given or b"",
                    losses=settlement.losses,
                )
        if not entry.told.done():
            if fenced:
                entry.told.set_exception(_fenced())
            else:
                entry.told.set_result(None)

    def _fail(self, entry: _Entry, error: BaseException) -> None:
        self._log.error("record not written", response=entry.settlement.id, error=str(error))
        if self.failing_since is None and not isinstance(error, StoreConflict):
            self.failing_since = self._tried_at = self._loop.time()
        if entry.hold is not None:
            self._purse.release(entry.hold)
        if entry.settlement.lead is not None:
            self._retries.unwritten(entry.settlement.lead)
        if not entry.told.done():
            entry.told.set_exception(error)
            entry.told.exception()  # seen: who does not wait for it has left


def _fenced() -> Fenced:
    return Fenced(
        "Another server took this request over while it ran. Send it again with the same idempotency key for its answer.",
        retry_after=1.0,
        headers=(("x-should-retry", "true"),),
    )
