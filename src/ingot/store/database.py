"""One writer, a few readers: how functions over a connection reach the database and when they are durable.

    write(fn) --> queue --> writer thread: takes all that wait, each in a savepoint, one commit, all answered
    read(fn)  --> queue --> reader threads: a snapshot each

A write's result arrives after the commit that holds it. While one commit runs the next group gathers, so
that under load many answers share one sync of the disk and alone each waits for none but its own. Threads
start when first needed: an idle store has none. Knows no table, and no database by name.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from ingot.store.faults import StoreError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backend:
    """What one kind of database does its own way."""

    connect: Callable[[bool], Connection]  # True: for writing
    begin_write: Callable[[Connection], None]
    begin_read: Callable[[Connection], None]
    control: Callable[[Connection, str], None]  # a savepoint statement, by the shortest way
    reset: Callable[[Connection], None]  # ends a transaction that a fault left open
    explain: Callable[[BaseException], BaseException]  # a driver's fault as a StoreError; others as they are
    dispose: Callable[[], None]


@dataclass(slots=True, eq=False)
class _Job:
    """A function on its way to a connection and back; without a function it stops the thread."""

    fn: Callable[[Connection], Any] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Tally:
    """What was asked and done so far; `writes` counts those that were committed."""

    reads: int = 0
    writes: int = 0
    commits: int = 0


class Database:
    """The store's one door; functions given to it are synchronous, short, and leave commits to it."""

    def __init__(self, backend: Backend, *, readers: int = 2) -> None:
        self.tally = Tally()
        self._backend = backend
        self._writer = _Lane(self._connect_writer, self._serve_writes, threads=1, name="ingot-store-write")
        self._readers = _Lane(
            self._connect_reader, self._serve_read, threads=readers, name="ingot-store-read"
        )

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

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` returns, once it is durable.

        An exception of `fn` undoes its own statements alone and is raised here; where the commit fails
        nothing of the group was kept and each caller gets a StoreError. A cancelled caller changes
        nothing: what was queued is still written.
        """
        result: T = await self._writer.submit(fn)
        return result

    def queue(self, fn: Callable[[Connection], T]) -> "asyncio.Future[T]":
        """`write` for a caller that holds a future instead of waiting; raises StoreError after `close`."""
        return self._writer.submit(fn)

    async def close(self) -> None:
        """Finishes what is queued, then closes every connection; later calls are refused."""
        await self._writer.stop()
        await self._readers.stop()
        self._backend.dispose()

    def _connect_writer(self) -> Connection:
        return self._backend.connect(True)

    def _connect_reader(self) -> Connection:
        return self._backend.connect(False)

    def _serve_read(self, conn: Connection, group: list[_Job]) -> None:
        for job in group:
            try:
                with conn.begin():
                    self._backend.begin_read(conn)
                    job.result = _call(job, conn)
            except BaseException as error:  # noqa: BLE001  (it belongs to the caller, whatever it is)
                job.error = self._backend.explain(error)
                self._backend.reset(conn)

    def _serve_writes(self, conn: Connection, group: list[_Job]) -> None:
        try:
            with conn.begin():
                self._backend.begin_write(conn)
                for job in group:
                    self._write_one(conn, job)
        except BaseException as error:  # noqa: BLE001  (it belongs to the callers, whatever it is)
            # A commit that failed leaves its transaction open, and SQLAlchemy takes it for ended.
            self._backend.reset(conn)
            for job in group:
                if job.error is None:
                    job.error = self._group_fault(error)
        else:
            self.tally.commits += 1
            self.tally.writes += len(group)

    def _write_one(self, conn: Connection, job: _Job) -> None:
        control = self._backend.control
        control(conn, "SAVEPOINT one")
        try:
            job.result = _call(job, conn)
        except BaseException as error:  # noqa: BLE001  (it belongs to the caller, whatever it is)
            job.error = self._backend.explain(error)
            try:
                control(conn, "ROLLBACK TO SAVEPOINT one")
            except Exception as lost:
                # A full disk undoes the whole transaction at once: the savepoint and the group went with it.
                raise error from lost
        control(conn, "RELEASE SAVEPOINT one")

    def _group_fault(self, error: BaseException) -> BaseException:
        """What a caller hears whose own statements were good, but whose group was not committed."""
        told = self._backend.explain(error)
        if isinstance(told, StoreError):
            return told
        lost = StoreError(f"The write was not kept, because the transaction around it was lost: {error}.")
        lost.__cause__ = error
        return lost


class _Lane:
    """A queue and up to `threads` threads behind it, each with a connection of its own.

    One thread takes all that waits as a group; several take one at a time.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        serve: Callable[[Connection, list[_Job]], None],
        *,
        threads: int,
        name: str,
    ) -> None:
        self._connect = connect
        self._serve = serve
        self._limit = threads
        self._name = name
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        self._threads: list[threading.Thread] = []
        self._pending = 0

    def submit(self, fn: Callable[[Connection], Any]) -> asyncio.Future[Any]:
        """The future of `fn`; raises StoreError after `stop`."""
        loop = asyncio.get_running_loop()
        job = _Job(fn, loop, loop.create_future())
        with self._lock:
            if not self._open:
                raise StoreError("The database is closed: the server is shutting down.")
            self._pending += 1
            if self._pending > len(self._threads) < self._limit:
                # A daemon: a process that ends without `close` must not hang on an idle thread.
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
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
                if slot.conn is None:
                    slot.conn = self._connect()
                self._serve(slot.conn, group)
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
