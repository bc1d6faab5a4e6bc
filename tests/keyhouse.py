"""A key ring on a real SQLite file, with a clock that moves only when told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ingot.clock import ManualClock
from ingot.errors import Unauthenticated
from ingot.services.key_desk import IssuedKey, KeyInfo, KeyOrder
from ingot.services.keys import KeyRing
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.schema import DEFAULT_ORG


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
    clock, log = ManualClock(), Lines()
    async with open_database(data, clock=clock) as db:
        ring = await KeyRing.open(db, data, log=log, clock=clock)
        yield House(data, db, ring, clock, log)
        await ring.close()


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
