"""Webhooks on a real database and real sockets, with a clock that tests move: endpoints, events, and who delivers them."""

import hmac
import ipaddress
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from databases import Place, open_store
from ingot.addresses import Reach, read_url
from ingot.clock import ManualClock
from ingot.deliveries import Policy, encode_policy, place_of
from ingot.services.accounts.letters import Letters
from ingot.services.webhooks.desk import WebhookDesk
from ingot.services.webhooks.sending import Deliverer, Room
from ingot.store.database import Database
from ingot.store.endpoints import EndpointRow, insert_endpoint
from ingot.store.schema import micros, webhook_deliveries
from ingot.store.webhooks import post_event
from ingot.upstream.client import tls_context
from ingot.upstream.fetch import Fetcher, Resolver
from receiver import Receiver
from treasury import Lines, Treasury

QUICK = Policy((0, 5, 60, 300), 0.3)
"""For receivers that let a try wait in vain."""


def digest(data: bytes) -> bytes:
    """The HMAC under the pepper of these tests."""
    return hmac.digest(b"p" * 32, data, "sha256")


@dataclass(slots=True)
class HookHouse:
    """A database, and one or more processes that deliver what is in it."""

    db: Database
    clock: ManualClock
    treasury: Treasury
    stack: AsyncExitStack
    log: Lines = field(default_factory=Lines)

    def process(self, *, seed: int = 1, room: Room | None = None, reach: Reach | None = None) -> Deliverer:
        """Who delivers, as one process does it."""
        resolver = Resolver()
        self.stack.callback(resolver.close)
        within = reach or Reach(
            http=True, ports=frozenset(range(1, 65536)), networks=(ipaddress.ip_network("127.0.0.0/8"),)
        )
        fetcher = Fetcher(within, resolve=resolver, tls=tls_context)
        self.stack.push_async_callback(fetcher.close)
        letters = Letters(self.db, url="https://ai.example.org", clock=self.clock, new_id=new_mail_id)
        return Deliverer(
            self.db,
            poster=fetcher,
            digest=digest,
            tell=letters.tell_of_disabled,
            clock=self.clock,
            rng=random.Random(seed),  # noqa: S311  # jitter
            log=self.log,
            room=room or Room(),
        )

    def desk(self) -> WebhookDesk:
        """What an operator has."""
        return WebhookDesk(self.db, digest=digest, clock=self.clock)

    async def endpoint(
        self,
        receiver: Receiver | None = None,
        *,
        org_id: str = "org_a",
        name: str = "we_1",
        kinds: tuple[str, ...] = ("response.completed",),
        url: str | None = None,
    ) -> EndpointRow:
        """An endpoint that is subscribed."""
        address = url or (receiver.url if receiver else "https://nowhere.invalid/")
        now = micros(self.clock.now())
        row = EndpointRow(
            id=name,
            org_id=org_id,
            key_id="key_a",
            name=name,
            url=address,
            place=place_of(read_url(address)),
            event_types=kinds,
            created_at=now,
            updated_at=now,
        )
        await self.db.write(partial(insert_endpoint, row=row))
        return row

    async def event(
        self, object_id: str, *, org_id: str = "org_a", kind: str = "response.completed", policy: Any = None
    ) -> None:
        """Something to tell; `policy` in place of the usual schedule."""
        now = micros(self.clock.now())

        def write(conn: Connection) -> None:
            post_event(conn, org_id, kind=kind, object_id=object_id, at=now)
            if policy is not None:
                conn.execute(update(webhook_deliveries).values(policy=encode_policy(policy)))

        await self.db.write(write)

    async def run(self, deliverer: Deliverer) -> int:
        """All that can be delivered at this moment of the clock; how many tries."""
        tried = 0
        while begun := await deliverer.turn():
            tried += begun
            await deliverer.idle()
        return tried

    async def rows(self, *columns: Any, where: Any = None) -> list[Any]:
        """Rows of a table."""
        query = select(*columns)
        return await self.db.read(
            lambda conn: list(conn.execute(query if where is None else query.where(where)))
        )

    async def due(self) -> float:
        """When the first open delivery is due, in seconds from now."""
        found = await self.rows(webhook_deliveries.c.due_at, where=webhook_deliveries.c.done_at.is_(None))
        return float(min(row.due_at for row in found)) / 1e6 - self.clock.now()


def new_mail_id(prefix: str) -> str:
    """An id that nobody else of this run has."""
    _MAILS.append(prefix)
    return f"{prefix}_{len(_MAILS)}"


_MAILS: list[str] = []


@asynccontextmanager
async def open_hooks(place: Place) -> AsyncIterator[HookHouse]:
    """An empty database with two organizations."""
    clock = ManualClock()
    async with open_store(place, clock=clock) as db, AsyncExitStack() as stack:
        treasury = Treasury(db, clock)
        for org_id in ("org_a", "org_b"):
            await treasury.organization(org_id, amount=0)
        yield HookHouse(db, clock, treasury, stack)
