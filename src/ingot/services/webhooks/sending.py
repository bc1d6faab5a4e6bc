"""The task that delivers: leases what is due, host by host, posts it, writes down what came of it.

    due --lease 60 s--> signed, posted --2xx--> delivered
                            |-----------410--> gone: nothing more goes to that URL
                            '----- all else--> due again as the policy says, or given up

Any number of processes may run it on one database: a lease keeps them apart, and a process that died between the post and
its note is followed by another with the same event. Nothing waits for a host that does not answer but what goes there
(`store.deliveries`). Decides about time and signatures; who may be called is the poster's to say. Logs ids and reasons, no
address and no token.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from sqlalchemy import Connection

from ingot import deliveries as rules
from ingot.clock import Clock
from ingot.deliveries import Digest
from ingot.ids import NewId, new_id
from ingot.logs import Log
from ingot.sealing import Broken
from ingot.services.webhooks.orders import open_token
from ingot.store import audit
from ingot.store import deliveries as store
from ingot.store.database import Database
from ingot.store.deliveries import Ask, Delivery, Try
from ingot.store.faults import StoreError
from ingot.store.schema import micros
from ingot.upstream.fetch import Fetched, FetchFault

LEASE_SECONDS: Final = 90.0
"""More than the longest try of any policy."""
POLL_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 60.0
READ_BYTES: Final = 65_536
"""Of a reply; more is dropped unread."""

Tell = Callable[[Connection, str, str], None]
"""Tells the owners of an organization that a host of theirs is called no more; inside the transaction that says so."""


class Poster(Protocol):
    """Posts to an address of a stranger's; raises FetchFault."""

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, limit: int, seconds: float
    ) -> Fetched: ...


@dataclass(frozen=True, slots=True)
class Room:
    """How many deliveries are on their way at one time, and how many of them to one host and port."""

    total: int = 64
    per_place: int = 4


class Deliverer:
    """Delivers the events of one database; `run` is a task, `close` ends it. Belongs to one event loop."""

    def __init__(
        self,
        db: Database,
        *,
        poster: Poster,
        digest: Digest,
        tell: Tell,
        clock: Clock,
        rng: random.Random,
        log: Log,
        room: Room = Room(),
        ids: NewId = new_id,
    ) -> None:
        """`digest` is the HMAC under the pepper: secrets are derived from it, and tokens opened."""
        self._db = db
        self._poster = poster
        self._digest = digest
        self._tell = tell
        self._clock = clock
        self._rng = rng
        self._log = log
        self._room = room
        self._owner = ids("sender")
        self._busy: Counter[str] = Counter()
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._swept_at = float("-inf")

    async def run(self) -> None:
        """Delivers what is due, until `close`; a fault of the database is waited out."""
        try:
            await self._db.write(partial(store.void_leases, owner=self._owner))
        except StoreError as error:
            self._log.warning("webhooks wait for the leases of another process", reason=error.message)
        while not self._closing:
            self._wake.clear()
            try:
                await self.turn()
                await self._sweep()
            except StoreError as error:
                self._log.warning("webhooks cannot be looked at, it is tried again", reason=error.message)
            await self._rest()

    async def close(self) -> None:
        """Ends `run`; what is on its way is broken off, and comes again with the next process."""
        self._closing = True
        self._wake.set()
        tasks, self._tasks = dict(self._tasks), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            ids = [delivery.id for delivery in tasks.values()]
            back = partial(store.give_back, ids=ids, owner=self._owner, now=micros(self._clock.now()))
            try:
                await self._db.write(back)
            except StoreError as error:
                self._log.warning("webhooks were not given back", reason=error.message)

    async def turn(self) -> int:
        """Begins what is due now, as far as there is room; how many deliveries."""
        now = self._clock.now()
        room = self._room.total - len(self._tasks)
        if room <= 0 or not await self._db.read(partial(store.any_due, now=micros(now))):
            return 0  # a look costs no commit
        ask = Ask(
            self._owner,
            micros(now),
            micros(now + LEASE_SECONDS),
            room,
            self._room.per_place,
            dict(self._busy),
        )
        taken = await self._db.write(partial(store.lease, ask=ask))
        for delivery in taken:
            self._busy[delivery.place] += 1
            task = asyncio.get_running_loop().create_task(self._deliver(delivery))
            self._tasks[task] = delivery
            task.add_done_callback(self._done)
        return len(taken)

    async def idle(self) -> None:
        """Returns when nothing is on its way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def sweep(self) -> None:
        """Gives up what came to its end in vain, and removes what has been kept for long enough."""
        now = micros(self._clock.now())
        await self._db.write(partial(store.give_up, now=now))
        gone = 1
        while gone:
            gone = await self._db.write(partial(store.prune, now=now))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            if delivery.body is None:
                await self._drop(delivery, "its object was deleted")
                return
            try:
                headers = self.headers(delivery, delivery.body)
            except Broken:
                await self._drop(delivery, "its token cannot be opened any more")
                return
            told = await self._post(delivery, delivery.body, headers)
            # Failures of one host are counted in one row: two processes take it in turn.
            names = (f"{delivery.org_id} {delivery.place}",)
            await self._db.write(partial(self._note, delivery=delivery, told=told), locks=names)
        except StoreError as error:
            # The lease ends, and the same event is delivered once more.
            self._log.warning("webhook not noted", event_id=delivery.event_id, reason=error.message)
        except Exception as error:  # noqa: BLE001  # logged; one delivery must not stop the others
            self._log.error("webhook failed", event_id=delivery.event_id, exc_info=error)

    def headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        """What a try is sent with: its signatures are of this moment; raises Broken."""
        now = self._clock.now()
        owner = delivery.endpoint_id or delivery.org_id
        secrets = [
            rules.derive(self._digest, owner, number) for number in delivery.secret.numbers(micros(now))
        ]
        own = {
            "content-type": "application/json",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": rules.sign(secrets, delivery.event_id, at=int(now), body=body),
        }
        if delivery.token is not None:
            token = open_token(
                delivery.token,
                org_id=delivery.org_id,
                response_id=delivery.object_id,
                digest=self._digest,
            )
            own["authorization"] = f"Bearer {token}"
        return own

    async def _post(self, delivery: Delivery, body: bytes, headers: Mapping[str, str]) -> Try:
        began, policy = self._clock.monotonic(), rules.decode_policy(delivery.policy)
        status, family, after, error = None, None, None, None
        try:
            reply = await self._poster.post(
                delivery.url, headers=headers, body=body, limit=READ_BYTES, seconds=policy.seconds
            )
        except FetchFault as fault:
            error = f"the URL {fault}"
        else:
            status, family = reply.status, reply.family
            after = rules.read_retry_after(_header(reply, b"retry-after"))
        verdict = "again" if status is None else rules.judge(status)
        if status is not None and verdict != "delivered":
            error = f"the receiver answered {status}"
        now = self._clock.now()
        wait = None
        if verdict == "again":
            wait = rules.next_wait(policy, delivery.attempts, part=self._rng.random(), retry_after=after)
        return Try(
            at=micros(now),
            ms=round((self._clock.monotonic() - began) * 1000),
            status=status,
            family=family,
            error=error,
            due=None if wait is None else micros(now + wait),
            everywhere=verdict == "gone",
        )

    def _note(self, conn: Connection, delivery: Delivery, told: Try) -> None:
        if not store.conclude(conn, delivery, told, owner=self._owner):
            return
        if told.error is None or told.everywhere:
            store.note_success(conn, delivery.org_id, delivery.place)
        elif store.note_failure(conn, delivery.org_id, delivery.place, at=told.at):
            audit.note(
                conn,
                delivery.org_id,
                actor="server",
                action="webhook.disable",
                subject=delivery.place,
                at=told.at,
                detail={"reason": "nothing but failures for 5 days"},
            )
            self._tell(conn, delivery.org_id, delivery.place)

    async def _drop(self, delivery: Delivery, reason: str) -> None:
        at = micros(self._clock.now())
        await self._db.write(partial(store.drop, delivery=delivery, owner=self._owner, at=at, error=reason))

    def _done(self, task: "asyncio.Task[None]") -> None:
        delivery = self._tasks.pop(task, None)
        if delivery is not None:
            self._busy[delivery.place] -= 1
            if not self._busy[delivery.place]:
                del self._busy[delivery.place]
        self._wake.set()

    async def _sweep(self) -> None:
        if self._clock.monotonic() < self._swept_at + SWEEP_SECONDS:
            return
        self._swept_at = self._clock.monotonic()
        await self.sweep()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return


def _header(reply: Fetched, name: bytes) -> str | None:
    found = next((value for each, value in reply.headers if each == name), None)
    return None if found is None else found.decode("latin-1")
