"""What delivers webhooks and keeps their endpoints, put together from its section of the configuration."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ingot.clock import Clock
from ingot.config import WebhooksConfig
from ingot.deliveries import Digest
from ingot.logs import Log
from ingot.services.accounts import Accounts
from ingot.services.webhooks.desk import WebhookDesk
from ingot.services.webhooks.endpoints import Endpoints
from ingot.services.webhooks.orders import reach_of
from ingot.services.webhooks.sending import Deliverer, Room
from ingot.upkeep import endure
from ingot.upstream.client import tls_context
from ingot.upstream.fetch import Fetcher, Resolver


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The services of one process."""

    endpoints: Endpoints
    desk: WebhookDesk


@contextlib.asynccontextmanager
async def open_webhooks(
    config: WebhooksConfig, accounts: Accounts, *, digest: Digest, clock: Clock, log: Log
) -> AsyncIterator[Webhooks]:
    """Delivers until the end of the process, where the configuration says so."""
    db, resolver = accounts.db, Resolver()
    reach = reach_of(config)
    fetcher = Fetcher(
        reach,
        resolve=resolver,
        tls=tls_context,
        connect=config.connect_seconds,
        at_once=config.concurrency,
    )
    deliverer = Deliverer(
        db,
        poster=fetcher,
        digest=digest,
        tell=accounts.letters.tell_of_disabled,
        clock=clock,
        rng=random.Random(),  # noqa: S311  # jitter
        log=log,
        room=Room(config.concurrency, config.per_host),
    )
    running = asyncio.create_task(endure(deliverer.run, name="webhooks", log=log)) if config.enabled else None
    try:
        yield Webhooks(
            Endpoints(db, reach=reach, poster=fetcher, digest=digest, clock=clock),
            WebhookDesk(db, digest=digest, clock=clock),
        )
    finally:
        await deliverer.close()
        if running is not None:
            await asyncio.gather(running, return_exceptions=True)
        await fetcher.close()
        resolver.close()
