"""Idempotency keys on a real database: requests as a server makes them of them, with the ledger beside."""

import itertools
import os
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, func, insert, select, update

from databases import Place, open_store
from ingot.clock import Clock, ManualClock
from ingot.idempotency import fingerprint
from ingot.services.idempotency import Lead, Replay, Retries, Scope
from ingot.signing import Signer
from ingot.store import idempotency as store
from ingot.store.database import Database
from ingot.store.schema import idempotency, ledger, micros
from keyhouse import Lines

PATH = "/v1/chat/completions"
SCOPE = Scope("org_1", "key_1")
JSON = "application/json"
SIGNER = Signer(bytes(range(32)), version=1)

C = TypeVar("C", bound=Clock)

_numbers = itertools.count(1)


def fresh_id() -> str:
    """A response id that nothing else has, in any process."""
    return f"resp_{os.getpid()}_{next(_numbers)}"


def print_of(body: Any = None, *, path: str = PATH) -> bytes:
    """The fingerprint of a request with this body."""
    return fingerprint({"model": "m", "body": body}, method="POST", path=path, digest=SIGNER.digest)


@dataclass(slots=True)
class House(Generic[C]):
    """A database and its clock; `retries` makes the service of one more process."""

    db: Database
    clock: C
    log: Lines = field(default_factory=Lines)

    def retries(self, *, patience: float = 30.0) -> Retries:
        """A process's service, which looks often."""
        return Retries(self.db, clock=self.clock, log=self.log, patience=patience, poll=0.005, pause=0.01)

    @property
    def now(self) -> int:
        """The clock's instant as the store keeps it."""
        return micros(self.clock.now())

    async def settle(self, lead: Lead, answer: bytes = b"{}", *, status: int = 200) -> bool:
        """The commit that bills and keeps the outcome; False where the lead was lost."""
        return await self.db.write(partial(bill, lead=lead, answer=answer, status=status, now=self.now))

    async def serve(self, retries: Retries, lead: Lead, answer: bytes = b"{}", *, status: int = 200) -> bool:
        """What a server does with a lead once the work is done."""
        won = await self.settle(lead, answer, status=status)
        if won:
            retries.finished(lead, status=status, content_type=JSON, answer=answer)
        else:
            retries.fenced(lead)
        return won

    async def lapse(self, owner: str) -> None:
        """The leases of a process that is gone are over."""
        gone = update(idempotency).where(idempotency.c.owner == owner).values(lease_until=0)
        await self.db.write(lambda conn: conn.execute(gone))

    async def row(self, key: str, scope: Scope = SCOPE) -> Any:
        """The row of a key, None without one."""
        query = select(idempotency).where(
            idempotency.c.org_id == scope.org_id,
            idempotency.c.key_id == scope.key_id,
            idempotency.c.key == key,
        )
        return await self.db.read(lambda conn: conn.execute(query).first())

    async def billed(self, *response_ids: str) -> int:
        """How many ledger rows there are for these ids."""
        query = select(func.count()).where(ledger.c.billable_id.in_(response_ids))
        return await self.db.read(lambda conn: int(conn.execute(query).scalar_one()))


def open_retry_house(place: Place) -> House[ManualClock]:
    """An empty database at a place."""
    clock = ManualClock()
    return House(open_store(place, clock=clock), clock)


def bill(conn: Connection, lead: Lead, *, answer: bytes, status: int, now: int) -> bool:
    """A settlement: outcome and ledger row in one transaction, or neither."""
    if not store.finish(conn, lead, status=status, content_type=JSON, answer=answer, now=now):
        return False
    row = {"billable_id": lead.response_id, "org_id": lead.scope.org_id, "kind": "inference", "amount": -1}
    conn.execute(insert(ledger), {**row, "at": now})
    return True


async def begin(
    retries: Retries, key: str = "k", *, body: Any = None, scope: Scope = SCOPE, path: str = PATH
) -> Lead | Replay:
    """A request with a key."""
    return await retries.begin(
        scope, key, path=path, fingerprint=print_of(body, path=path), response_id=fresh_id()
    )


async def lead(retries: Retries, key: str = "k", *, body: Any = None, scope: Scope = SCOPE) -> Lead:
    """A request with a key that must get the lead."""
    outcome = await begin(retries, key, body=body, scope=scope)
    assert isinstance(outcome, Lead)
    return outcome


async def replay(retries: Retries, key: str = "k", *, body: Any = None, scope: Scope = SCOPE) -> Replay:
    """A request with a key that must get a stored outcome."""
    outcome = await begin(retries, key, body=body, scope=scope)
    assert isinstance(outcome, Replay)
    return outcome
