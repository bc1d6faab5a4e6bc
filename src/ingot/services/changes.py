"""Changes that happen once: of all requests with one idempotency key one makes the change, the others get its answer.

    begin --> Lead --> work(keep) --> the change and its answer in one commit --> Told
          |                |-- another took over: the change is undone, and begin decides anew
          |                |-- refused: nothing was changed, the key is free for any request
          |                '-- failed: nothing was changed, the key is free for the same request
          '-> Replay --> Told, replayed

Every service that such a change goes through writes once, and keeps the answer in that transaction (`keeping`): no
crash comes between the two, so a take-over finds both or neither. An answer may hold a secret that is shown once. It is
sealed under a key derived from the client's idempotency key and the pepper, and of the idempotency key itself a digest
is stored: the database and the pepper together open no answer for who does not know the idempotency key. Knows no
HTTP; who may ask is decided before.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import ClientError
from ingot.idempotency import fingerprint
from ingot.sealing import RandomBytes, seal, unseal
from ingot.services.idempotency import Lead, Replay, Retries, Scope
from ingot.services.keeping import Keep
from ingot.store import idempotency as store
from ingot.store.database import Database
from ingot.store.schema import micros

__all__ = ["Changes", "Scope", "Told", "Wish", "Work"]

JSON = "application/json"

# Keep what is derived here apart from all else that is signed under the same pepper.
_NAME = b"\0ingot idempotency name\n"
_ANSWER = b"\0ingot idempotency answer\n"


@dataclass(frozen=True, slots=True)
class Wish:
    """A change that somebody asks for: `key` as the client sent it, `body` as it was understood, defaults included."""

    scope: Scope
    key: str = field(repr=False)
    method: str
    path: str
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """What is answered; `replayed` where it was kept before."""

    status: int
    body: bytes = field(repr=False)
    replayed: bool = False


Work = Callable[[Keep[Told]], Awaitable[Told]]
"""Makes the change; called again where it was undone. An answer that it did not keep itself is kept in a write of its own,
and then a crash between the two lets a take-over make the change again.
"""


class LeadLost(Exception):
    """Another took over while this one worked: its change must not be."""


@dataclass(slots=True)
class _Keeper:
    """Keeps the answer of one lead; called on the writer's thread, and again where a deadlock undid it."""

    lead: Lead
    key: bytes = field(repr=False)
    clock: Clock
    random: RandomBytes
    told: Told | None = None
    answer: bytes = b""

    def __call__(self, conn: Connection, told: Told) -> None:
        answer = seal(told.body, self.key, bound=_place(self.lead.scope, self.lead.key), random=self.random)
        now = micros(self.clock.now())
        kept = store.finish(conn, self.lead, status=told.status, content_type=JSON, answer=answer, now=now)
        if not kept:
            raise LeadLost
        self.told, self.answer = told, answer


class Changes:
    """The changes of one database that are asked for with an idempotency key. Belongs to one event loop."""

    def __init__(
        self,
        db: Database,
        retries: Retries,
        *,
        digest: Callable[[bytes], bytes],
        clock: Clock,
        random: RandomBytes = os.urandom,
        new_id: ids.NewId = ids.new_id,
    ) -> None:
        """`digest` is the HMAC under the pepper."""
        self._db = db
        self._retries = retries
        self._digest = digest
        self._clock = clock
        self._random = random
        self._new_id = new_id

    async def make(self, wish: Wish, work: Work) -> Told:
        """What `work` tells, now or at the first time; waits while another makes the change.

        Raises IdempotencyError, Conflict, StoreError, and what `work` raises. A caller that is cancelled leaves the change made and its answer kept, or neither.
        """
        while True:
            begun = await self._begin(wish)
            if isinstance(begun, Replay):
                return self._opened(wish, begun)
            told = await self._lead(wish, begun, work)
            if told is not None:
                return told

    async def _begin(self, wish: Wish) -> Lead | Replay:
        return await self._retries.begin(
            wish.scope,
            self._name(wish),
            path=wish.path,
            fingerprint=fingerprint(wish.body, method=wish.method, path=wish.path, digest=self._digest),
            response_id=self._new_id(store.CHANGE),
            shown=wish.key,
        )

    async def _lead(self, wish: Wish, lead: Lead, work: Work) -> Told | None:
        """Makes the change; None where another took over meanwhile."""
        keep = _Keeper(lead, self._answer_key(wish), self._clock, self._random)
        try:
            told = await work(keep)
            if keep.told is None:
                await self._db.write(partial(keep, told=told))
            self._retries.finished(lead, status=told.status, content_type=JSON, answer=keep.answer)
        except LeadLost:
            self._retries.fenced(lead)
            return None
        except ClientError:
            await asyncio.shield(self._retries.withdraw(lead))
            raise
        finally:
            # Nothing happens where the answer was kept: a write that is under way comes first. A cancelled caller must
            # not leave the key in use.
            await asyncio.shield(self._retries.release(lead))
        return keep.told

    def _opened(self, wish: Wish, kept: Replay) -> Told:
        bound = _place(wish.scope, self._name(wish))
        return Told(kept.status, unseal(kept.answer, self._answer_key(wish), bound=bound), replayed=True)

    def _name(self, wish: Wish) -> str:
        """What is stored of the idempotency key: enough to know it again."""
        return self._digest(_NAME + _place(wish.scope, wish.key)).hex()

    def _answer_key(self, wish: Wish) -> bytes:
        return self._digest(_ANSWER + _place(wish.scope, wish.key))


def _place(scope: Scope, key: str) -> bytes:
    return f"{scope.org_id}\n{scope.key_id}\n{key}".encode()
