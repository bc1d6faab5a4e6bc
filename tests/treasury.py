"""Money on a real database: organizations, purses of several processes, and calls settled as a server settles them.

Works on whatever database it is given. The one place that writes responses, ledger rows and hourly sums for tests of
money; everything that is checked is read from the database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Executable, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.clock import ManualClock
from ingot.ids import new_id
from ingot.pricing import Price, Tokens, frozen, rates
from ingot.services.credits import Credits
from ingot.services.purse import Hold, Purse
from ingot.store.balances import Charge, Shortfall, charge
from ingot.store.budgets import HOUR
from ingot.store.database import Database
from ingot.store.ledger import Entry, Span, add_entry, page
from ingot.store.schema import balances, holds, ledger, micros, organizations, responses, usage_hours
from ledgerbook import unguarded

PRICE = Price(rates(1, 1))
"""A token costs a unit, so that a call's cost is its tokens."""


@dataclass(slots=True)
class Lines:
    """A logger that keeps what it is told."""

    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def debug(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    info = warning = error = debug


@dataclass(frozen=True, slots=True)
class Call:
    """An answered call that cost `amount`, and what was reserved for it."""

    id: str
    org_id: str
    amount: int
    at: int
    key_id: str = "key_a"
    hold: Hold | None = None

    def charge(self) -> Charge:
        """What the settlement takes."""
        if self.hold is None:
            return Charge(self.id, self.org_id, self.key_id, self.amount, self.at)
        hold = self.hold
        return Charge(
            self.id, self.org_id, self.key_id, self.amount, self.at, hold.prepaid, hold.amount, hold.parts
        )


@dataclass(slots=True)
class Treasury:
    """A database with organizations on it; `clock` is that of all processes."""

    db: Database
    clock: ManualClock = field(default_factory=ManualClock)
    log: Lines = field(default_factory=Lines)

    @property
    def now(self) -> int:
        return micros(self.clock.now())

    def advance(self, seconds: float) -> None:
        """Moves time forward, on the clock of the processes; PostgreSQL has one of its own."""
        self.clock.advance(seconds)

    async def organization(self, org_id: str, *, prepaid: bool = True, amount: int = 0) -> str:
        """A new organization with so much credit."""
        row = {
            "id": org_id,
            "name": org_id,
            "plan_id": "plan_free",
            "prepaid": int(prepaid),
            "created_at": self.now,
        }
        await self.execute(insert(organizations).values(row), insert(balances).values(org_id=org_id))
        if amount:
            await self.credits.top_up(org_id, amount, actor="test")
        return org_id

    async def execute(self, *statements: Executable) -> None:
        """Runs statements past all services, in one transaction."""

        def run(conn: Connection) -> None:
            for statement in statements:
                conn.execute(statement)

        await self.db.write(run)

    async def tamper(self, *statements: Executable) -> None:
        """The same, with no guard on the ledger meanwhile."""

        def run(conn: Connection) -> None:
            with unguarded(conn):
                for statement in statements:
                    conn.execute(statement)

        await self.db.write(run)

    @property
    def credits(self) -> Credits:
        return Credits(self.db, clock=self.clock)

    def purse(self, owner: str, *, alone: bool = False, lease_seconds: float = 30.0) -> Purse:
        """The purse of another process; nothing runs in its background."""
        return Purse(self.db, owner, clock=self.clock, log=self.log, alone=alone, lease_seconds=lease_seconds)

    def call(self, amount: int, *, hold: Hold | None = None, org_id: str = "", key_id: str = "key_a") -> Call:
        """A call that cost so much, now."""
        org = org_id or (hold.org_id if hold else "")
        return Call(new_id("resp"), org, amount, self.now, key_id, hold)

    async def settle(self, *calls: Call) -> list[Shortfall]:
        """Commits calls as a server does."""
        return await self.db.write(partial(settle, calls=calls))

    async def spend(self, purse: Purse, hold: Hold, *, amount: int) -> list[Shortfall]:
        """Settles one call and releases what it did not need."""
        lost = await self.settle(self.call(amount, hold=hold))
        purse.release(hold, amount)
        return lost

    async def figures(self, org_id: str) -> tuple[int, int]:
        """Balance and what is held of it, which are also the sums of the rows behind them."""
        return await self.db.read(partial(figures, org_id=org_id))


def settle(conn: Connection, calls: Sequence[Call]) -> list[Shortfall]:
    """What the settlement of a server does about money."""
    lost = charge(conn, [call.charge() for call in calls])
    for call in calls:
        used = Tokens(input=call.amount)
        text = frozen(PRICE, window="asap")
        conn.execute(
            insert(responses),
            {
                "id": call.id,
                "public_id": call.id,
                "org_id": call.org_id,
                "key_id": call.key_id,
                "surface": "chat",
                "model": "mock",
                "target": "up",
                "status": 200,
                "state": "completed",
                "fidelity": "verbatim",
                "window": "asap",
                "created_at": call.at,
                "finished_at": call.at,
                "input_tokens": used.input,
                "amount": call.amount,
            },
        )
        add_entry(
            conn,
            Entry(
                call.id,
                call.org_id,
                "inference",
                -call.amount,
                call.at,
                key_id=call.key_id,
                model="mock",
                window="asap",
                input_tokens=used.input,
                price=text,
            ),
        )
        row = {
            "org_id": call.org_id,
            "hour": call.at // HOUR,
            "key_id": call.key_id,
            "model": "mock",
            "window": "asap",
            "requests": 1,
            "input_tokens": used.input,
            "amount": call.amount,
        }
        hour = upsert(usage_hours)
        sums = {
            name: usage_hours.c[name] + hour.excluded[name] for name in ("requests", "input_tokens", "amount")
        }
        conn.execute(hour.on_conflict_do_update(index_elements=list(usage_hours.primary_key), set_=sums), row)
    return lost


def figures(conn: Connection, org_id: str) -> tuple[int, int]:
    """Balance and held; fails where they are not the sums of ledger rows and leases."""
    found = conn.execute(select(balances.c.balance, balances.c.held).where(balances.c.org_id == org_id)).one()
    rows = select(func.coalesce(func.sum(ledger.c.amount), 0)).where(ledger.c.org_id == org_id)
    leased = select(func.coalesce(func.sum(holds.c.amount), 0)).where(
        holds.c.org_id == org_id, holds.c.budget_id.is_(None)
    )
    assert found.balance == conn.execute(rows).scalar_one()
    assert found.held == conn.execute(leased).scalar_one()
    return int(found.balance), int(found.held)


def expire(conn: Connection, owner: str) -> None:
    """Lets the time of a dead process's leases be over, on any clock."""
    conn.execute(update(holds).where(holds.c.owner == owner).values(until=1))


def walk(conn: Connection, span: Span) -> Iterator[Entry]:
    """All rows of a span in one transaction."""
    after: Entry | None = None
    while rows := page(conn, span, after=after):
        yield from rows
        after = rows[-1]
