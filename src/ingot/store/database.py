"""One writer, a few readers: how functions over a connection reach the database and when they are durable.

    write(fn) --> queue --> writer thread: takes all that wait, each in a savepoint, one commit, all answered
    read(fn)  --> queue --> reader threads: a snapshot each

A write's result arrives after the commit that holds it. While one commit runs the next group gathers, so
that under load many answers share one sync of the disk and alone each waits for none but its own. Threads
start when first needed: an idle store has none. Knows no table, and no database by name.

Isolation. On SQLite one writer at a time has the whole database. On PostgreSQL other processes write at the
same moment, and a group runs at READ COMMITTED: each statement sees what was committed before it began. So a
function that decides by what it read must let the database decide: put the condition into the statement that
changes the row (`UPDATE ... WHERE balance >= :amount`, a unique index, ON CONFLICT), or read the row with FOR
UPDATE first. Locks last until the group's commit; functions that lock several rows take them in one order.
A deadlock undoes the whole group, which then runs a second time: a function may be called twice and only its
last result counts, so it must leave nothing behind but its rows. It costs a second, so functions that change rows
which others change too name what they belong to (`locks`, as an organization's id): a group takes all its names
first and in one order, and no two groups wait for each other.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from sqlalchemy import Connection

from ingot.store.faults import StoreError

YIELD_SECONDS: Final = 0.05
"""How long a group that another process's undid waits until it runs again: else it takes its rows before the other one wakes."""

T = TypeVar("T")


Purpose = Literal["read", "write", "migrate"]


@dataclass(frozen=True, slots=True)
class Backend:
    """What one kind of database does its own way."""

    connect: Callable[[Purpose], Connection]
    begin: Callable[[Connection, Purpose], None]  # to write: with a savepoint
    lock: Callable[[Connection, Iterable[str]], None]  # takes these names, and the savepoint behind them
    keep: Callable[[Connection], None]  # moves the savepoint to here; fails where the transaction is lost
    undo: Callable[[Connection], None]  # goes back to the savepoint
    alive: Callable[
        [Connection], bool
    ]  # False: an idle connection was ended from the other side; never waits
    reset: Callable[[Connection], bool]  # ends what a fault left open; False: the connection is of no use
    passing: Callable[[BaseException], bool]  # a fault that undid everything and need not come again
    explain: Callable[[BaseException], BaseException]  # a driver's fault as a StoreError; others as they are
    dispose: Callable[[], None]
    scrub: Callable[
        [], bool
    ]  # removes what lies beside the database of rows that are gone; False: not all yet


@dataclass(slots=True, eq=False)
class _Job:
    """A function on its way to a connection and back; without a function it stops the thread."""

    fn: Callable[[Connection], Any] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    locks: Collection[str] = ()
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Tally:
    """What was asked and done so far; `writes` counts those that were committed, `seconds` the time of their groups."""

    reads: int = 0
    writes: int = 0
    commits: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0


class Database:
    """The store's one door; functions given to it are synchronous, short, and leave commits to it."""

    def __init__(self, backend: Backend, *, readers: int = 2) -> None:
        self.tally = Tally()
        self._backend = backend
        self._writer = _Lane(backend, "write", self._serve_writes, threads=1)
        self._readers = _Lane(backend, "read", self._serve_read, threads=readers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` returns, run on one snapshot of the database; writing is refused."""
        self.tally.reads += 1
        result: T = await self._readers.submit(fn)
        return result

    async def write(self, fn: Callable[[Connection], T], *, locks: Collection[str] = ()) -> T:
        """What `fn` returns, once it is durable; `locks` names what it locks, so that no two wait for each other.

        An exception of `fn` undoes its own statements alone and is raised here; where the commit fails
        nothing of the group was kept and each caller gets a StoreError. A cancelled caller changes
        nothing: what was queued is still written. On PostgreSQL `fn` runs at READ COMMITTED beside other
        processes, and a second time after a deadlock (see above).
        """
        result: T = await self._writer.submit(fn, locks)
        return result

    def queue(self, fn: Callable[[Connection], T], *, locks: Collection[str] = ()) -> "asyncio.Future[T]":
        """`write` for a caller that holds a future instead of waiting; raises StoreError after `close`."""
        return self._writer.submit(fn, locks)

    async def scrub(self) -> bool:
        """Removes copies of deleted rows that lie beside the database, on a thread of its own; no write waits for it.

        False where somebody still reads an older state: try again.
        """
        try:
            return await asyncio.to_thread(self._backend.scrub)
        except Exception as error:
            raise self._backend.explain(error) from error

    async def close(self) -> None:
        """Finishes what is queued, then closes every connection; later calls are refused."""
        await self._writer.stop()
        await self._readers.stop()
        self._backend.dispose()

    def _serve_read(self, conn: Connection, group: list[_Job]) -> bool:
        backend, usable = self._backend, True
        for job in group:
            for last in (False, True):
                try:
                    with conn.begin():
                        backend.begin(conn, "read")
                        job.result = _call(job, conn)
                    break
                except BaseException as error:  # noqa: BLE001  (it belongs to the caller, whatever it is)
                    usable = backend.reset(conn)
                    if last or not usable or not backend.passing(error):
                        job.error = backend.explain(error)
                        break
        return usable

    def _serve_writes(self, conn: Connection, group: list[_Job]) -> bool:
        backend, began = self._backend, time.perf_counter()
        fault = self._commit(conn, group, last=False)
        # A commit that failed leaves its transaction open, and SQLAlchemy takes it for ended.
        usable = fault is None or backend.reset(conn)
        if fault and usable and backend.passing(fault.error):
            for job in group:
                job.result = job.error = None
            time.sleep(YIELD_SECONDS)
            fault = self._commit(conn, group, last=True)
            usable = fault is None or backend.reset(conn)
        if fault is None:
            tally = self.tally
            tally.commits += 1
            tally.writes += len(group)
            tally.last_seconds = time.perf_counter() - began
            tally.seconds += tally.last_seconds
            return True
        for job in group:
            if job.error is None:
                job.error = self._told(fault, sure=usable)
        return usable

    def _commit(self, conn: Connection, group: list[_Job], *, last: bool) -> "_Fault | None":
        """Runs a group in one transaction; what undid all of it, or None."""
        ending = False
        try:
            with conn.begin():
                self._backend.begin(conn, "write")
                names = {name for job in group for name in job.locks}
                if names:
                    self._backend.lock(conn, names)
                for job in group:
                    self._write_one(conn, job, last=last)
                ending = True
        except BaseException as error:  # noqa: BLE001  (it belongs to the callers, whatever it is)
            return _Fault(error, ending=ending)
        return None

    def _write_one(self, conn: Connection, job: _Job, *, last: bool) -> None:
        try:
            job.result = _call(job, conn)
        except BaseException as error:
            if not last and self._backend.passing(error):
                raise  # who waits for the locks of this group waits until all of it is undone
            job.error = self._backend.explain(error)
            try:
                self._backend.undo(conn)
            except Exception as lost:
                # A full disk undoes the whole transaction at once: the savepoint and the group went with it.
                raise error from lost
        else:
            self._backend.keep(conn)

    def _told(self, fault: "_Fault", *, sure: bool) -> BaseException:
        """What a caller hears whose own statements were good, but whose group was not committed."""
        told = self._backend.explain(fault.error)
        if fault.ending and not sure:
            told = StoreError(
                "The connection to the database was lost during a commit: whether the write was kept is not known."
            )
        elif not isinstance(told, StoreError):
            told = StoreError(
                f"The write was not kept, because the transaction around it was lost: {fault.error}."
            )
        told.__cause__ = fault.error
        return told


@dataclass(frozen=True, slots=True)
class _Fault:
    """What undid a whole group; `ending`: it came while the group was committed."""

    error: BaseException
    ending: bool


class _Lane:
    """A queue and up to `threads` threads behind it, each with a connection of its own.

    One thread takes all that waits as a group; several take one at a time.
    """

    def __init__(
        self,
        backend: Backend,
        purpose: Purpose,
        serve: Callable[[Connection, list[_Job]], bool],
        *,
        threads: int,
    ) -> None:
        self._backend = backend
        self._purpose = purpose
        self._serve = serve  # False: the connection is of no further use
        self._limit = threads
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        self._threads: list[threading.Thread] = []
        self._pending = 0

    def submit(self, fn: Callable[[Connection], Any], locks: Collection[str] = ()) -> asyncio.Future[Any]:
        """The future of `fn`; raises StoreError after `stop`."""
        loop = asyncio.get_running_loop()
        job = _Job(fn, loop, loop.create_future(), locks)
        with self._lock:
            if not self._open:
                raise StoreError("The database is closed: the server is shutting down.")
            self._pending += 1
            if self._pending > len(self._threads) < self._limit:
                # A daemon: a process that ends without `close` must not hang on an idle thread.
                thread = threading.Thread(target=self._work, name=f"ingot-store-{self._purpose}", daemon=True)
                thread.start()
                self._threads.append(thread)
            self._queue.put(job)
        return job.future

    async def stop(self) -> None:
        """Returns when all that was queued is done and the threads are gone."""
        loop = asyncio.get_running_loop()
        with self._lock:
            threads = self._threads if self._open else []
            self._open = False
            stops = [_Job(None, loop, loop.create_future()) for _ in threads]
            for job in stops:
                self._queue.put(job)
        for job in stops:
            await job.future
        for thread in threads:
            thread.join()  # delivering that future was the last thing it did: microseconds

    def _work(self) -> None:
        slot = _Slot()
        stop = None
        while stop is None:
            stop = self._turn(slot)
        slot.drop()
        _deliver([stop])

    def _turn(self, slot: "_Slot") -> _Job | None:
        """Serves one group; a function of its own, so that an idle thread holds on to no result."""
        group = [self._queue.get()]
        if self._limit == 1:
            group += [self._queue.get() for _ in range(self._queue.qsize())]
        stop = group.pop() if group[-1].fn is None else None
        if group:
            try:
                if slot.conn is not None and not self._backend.alive(slot.conn):
                    slot.drop()
                if slot.conn is None:
                    slot.conn = self._backend.connect(self._purpose)
                if not self._serve(slot.conn, group):
                    slot.drop()
            except BaseException as error:  # noqa: BLE001  (the thread must outlive any fault)
                slot.drop()
                for job in group:
                    job.error = error
            with self._lock:
                self._pending -= len(group)
            _deliver(group)
        return stop


@dataclass(slots=True)
class _Slot:
    """A thread's connection, while it has one."""

    conn: Connection | None = None

    def drop(self) -> None:
        """Closes it; the next group gets another."""
        conn, self.conn = self.conn, None
        if conn is not None:
            with suppress(Exception):  # it is given up because it is broken
                conn.close()


def _call(job: _Job, conn: Connection) -> Any:
    if job.fn is None:
        raise AssertionError("a stop is not a job")
    return job.fn(conn)


def _deliver(jobs: list[_Job]) -> None:
    """Hands results to their event loops: one wake-up for a group, not one for each job."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = defaultdict(list)
    for job in jobs:
        by_loop[job.loop].append(job)
    for loop, done in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, done)
        except RuntimeError:
            # The loop was closed and its tasks are gone: nobody waits for an answer any more.
            continue


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():  # cancelled meanwhile
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
