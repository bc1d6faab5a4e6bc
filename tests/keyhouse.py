"""A key ring on a real SQLite file, with a clock that moves only when told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Executable, insert

from ingot.clock import ManualClock
from ingot.errors import Unauthenticated
from ingot.services.key_desk import IssuedKey, KeyInfo, KeyOrder
from ingot.services.keys import KeyRing
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.schema import DEFAULT_ORG, members, organizations, users


@dataclass(slots=True)
class Lines:
    """A logger that keeps what it is told."""

    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def debug(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    info = warning = error = debug


@dataclass(frozen=True, slots=True)
class House:
    """A ring with all that it stands on."""

    data: Path
    db: Database
    ring: KeyRing
    clock: ManualClock
    log: Lines

    async def another(self, db: Database) -> KeyRing:
        """The ring of another process on the same files."""
        return await KeyRing.open(db, self.data, log=self.log, clock=self.clock)


@asynccontextmanager
async def open_house(data: Path) -> AsyncIterator[House]:
    """An empty database in `data`, with its ring."""
    clock = ManualClock()
    async with open_database(data, clock=clock) as db, furnished(db, data, clock=clock) as house:
        yield house


@asynccontextmanager
async def furnished(
    db: Database, data: Path, *, clock: ManualClock, prefix: str = "ik", limit: int | None = None
) -> AsyncIterator[House]:
    """The ring of a database that is open, with the pepper in `data`."""
    log = Lines()
    ring = await KeyRing.open(db, data, log=log, clock=clock, prefix=prefix, limit=limit)
    yield House(data, db, ring, clock, log)
    await ring.close()


async def add_org(db: Database, org_id: str, *, plan: str = "free") -> None:
    """An organization on a plan that ships."""
    values = {"id": org_id, "name": org_id, "plan_id": f"plan_{plan}", "created_at": 0}
    await run(db, insert(organizations).values(values))


async def run(db: Database, statement: Executable) -> None:
    """One statement."""

    def execute(conn: Connection) -> None:
        conn.execute(statement)

    await db.write(execute)


async def add_user(db: Database, user_id: str, *, org_id: str, verified: bool = True) -> None:
    """A member of an organization, `USER_ID@example.org`."""

    def add(conn: Connection) -> None:
        user = {"id": user_id, "email": f"{user_id}@example.org", "created_at": 0}
        conn.execute(insert(users), user | {"verified_at": 1 if verified else None})
        member = {"org_id": org_id, "user_id": user_id, "role": "member", "created_at": 0}
        conn.execute(insert(members), member)

    await db.write(add)


async def issue(ring: KeyRing, name: str, *, expires: float | None = None) -> IssuedKey:
    """A new key of the operator's organization."""
    return await ring.desk.issue(DEFAULT_ORG, KeyOrder(name, expires=expires), actor="cli")


async def revoke(ring: KeyRing, which: str) -> KeyInfo:
    """Ends a key of the operator's organization."""
    return await ring.desk.revoke(DEFAULT_ORG, which, actor="cli")


def token(key: IssuedKey) -> bytes:
    """The key as a request carries it."""
    return key.secret.encode()


async def refusal(ring: KeyRing, presented: bytes) -> str:
    """What is said to who presents this."""
    with pytest.raises(Unauthenticated) as caught:
        await ring.authenticate(presented)
    assert caught.value.code == "invalid_api_key"
    return caught.value.message
