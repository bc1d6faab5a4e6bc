"""The counts in PostgreSQL: one call of one function for a round, on one connection of the limiter's own.

A pool would gain nothing: rounds of one process would only wait for each other's rows. Commits do not wait for
the disk, and the tables are not logged. Statements end at the budget on the server's side as well.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from psycopg import AsyncConnection, errors

from ingot.clock import Clock
from ingot.ids import NewId
from ingot.limits.gcra import SECOND, change, costs, rate, terms
from ingot.limits.lane import (
    ALIVE_SECONDS,
    Answer,
    Beat,
    Command,
    Lane,
    Reserve,
    Settle,
    in_time,
)
from ingot.limits.limiter import Claim
from ingot.limits.memory import MemoryLimiter
from ingot.limits.places import LEASE_SECONDS, Renew
from ingot.limits.postgres_tables import CODE, LOCK, TABLES
from ingot.limits.shared import SharedLimiter
from ingot.logs import Log

BUDGET = 0.25
PATIENCE = 5.0
SWEEP_EVERY = 120
"""Beats: ten minutes."""

_CALL = b"SELECT ingot_limits_v2(%s::jsonb, %s::bigint)::text"
_SETTINGS = (
    b"SELECT set_config('statement_timeout', %s, false), set_config('synchronous_commit', 'off', false)"
)


class PostgresLink:
    """One connection to a database."""

    def __init__(self, url: str, *, statement_seconds: float, now: Callable[[], int] | None = None) -> None:
        """The server ends a round after `statement_seconds`; `now` replaces its clock, in tests: microseconds."""
        self._url = url
        self._statement_millis = str(max(1, int(statement_seconds * 1000)))
        self._now = now
        self._conn: AsyncConnection[Any] | None = None
        self._ready = False
        self._beats = 0

    async def exchange(self, commands: Sequence[Command], budget: float) -> list[Answer]:
        """One call of the function."""
        asking = self._exchange(commands)
        return await in_time(asking, budget, server="PostgreSQL", abandon=self._abandon)

    async def close(self) -> None:
        """Closes the connection."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(Exception):  # it is given up, and may be broken
                await conn.close()

    async def _exchange(self, commands: Sequence[Command]) -> list[Answer]:
        conn = self._conn
        if conn is None:
            conn = self._conn = await AsyncConnection.connect(self._url, autocommit=True)
            if not self._ready:
                await _prepare(conn)
                self._ready = True
            await conn.execute(_SETTINGS, (self._statement_millis,))
        at = None if self._now is None else self._now()
        asked = msgspec.json.encode([self._words(command) for command in commands]).decode()
        try:
            cursor = await conn.execute(_CALL, (asked, at))
        except (errors.UndefinedFunction, errors.UndefinedTable):
            self._ready = False  # somebody emptied the database: made again on the next connection
            raise
        row = await cursor.fetchone()
        answers: list[Answer] = msgspec.json.decode(row[0], type=list[list[int]]) if row else []
        return answers

    async def _abandon(self, task: "asyncio.Task[list[Answer]]") -> None:
        """Ends what is under way without a word to the server: its socket is shut, the task finds it closed."""
        conn = self._conn
        if conn is None:
            task.cancel()  # still connecting
        else:
            with suppress(OSError, errors.Error), socket.socket(fileno=os.dup(conn.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({task}, timeout=1.0)
        task.cancel()
        await self.close()

    def _words(self, command: Command) -> list[Any]:
        """A command as the function reads it."""
        if isinstance(command, Beat):
            self._beats += 1
            kind = 3 if self._beats % SWEEP_EVERY == 0 else 2
            return [kind, command.node, int(ALIVE_SECONDS * SECOND), []]
        if isinstance(command, Reserve):
            claims = [[claim.partition, *terms(claim)] for claim in command.claims]
            return [0, command.id, command.lease, claims]
        if isinstance(command, Renew):
            return [4, "", command.lease, [[command.partition, command.ids]]]
        if isinstance(command, Settle):
            return [1, command.id, 0, [_moved(claim, command.tokens) for claim in command.claims]]
        return [5, command.id, command.at, [[claim.partition, *costs(claim)] for claim in command.claims]]


def _moved(claim: Claim, tokens: int | None) -> list[str | int]:
    """What a settlement says of a claim."""
    moved = 0 if tokens is None else change(claim, tokens)
    return [claim.partition, rate(claim.rpm), rate(claim.tpm), moved]


async def _prepare(conn: AsyncConnection[Any]) -> None:
    """Makes what is missing; one process at a time."""
    async with conn.transaction():
        await conn.execute(b"SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        for statement in TABLES.split(";"):
            await conn.execute(statement.encode())
        await conn.execute(CODE.encode())


def postgres_limiter(
    url: str,
    *,
    clock: Clock,
    ids: NewId,
    node: str,
    log: Log,
    lease: float = LEASE_SECONDS,
    budget: float = BUDGET,
    rest: float = 5.0,
    notify: Callable[[bool, str], None] | None = None,
    now: Callable[[], int] | None = None,
) -> SharedLimiter:
    """A limiter over the PostgreSQL at `url`; `node` names this process, `lease` is in seconds. The rest is for tests."""
    link = PostgresLink(url, statement_seconds=budget, now=now)
    lane = Lane(
        link,
        node=node,
        budget=budget,
        patience=max(PATIENCE, budget),
        clock=clock,
        log=log,
        lease=lease,
        rest=rest,
        notify=notify,
    )
    return SharedLimiter(lane, local=MemoryLimiter(clock), ids=ids)
