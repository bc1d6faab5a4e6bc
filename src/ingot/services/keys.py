"""Who is asking: turns the text of an API key into a Principal, which says what that key may do.

    token --HMAC--> digest --cache, <= 5 s old--> Principal          3 us, no await
                           --one lookup for all who wait-----> Principal | Unauthenticated
                           --too many failures---------------> RateLimited, no lookup

A revocation holds within 5 s everywhere, whichever process made it, because nothing cached is older; so does a
change of the key's organization or plan. Keys in use are looked up again in the background from their 4th second
on, so that no request waits for it. Knows no header and no status line; never logs or keeps the text of a key.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock, SystemClock
from ingot.errors import Unauthenticated
from ingot.logs import Log
from ingot.services.failures import FailureLimiter
from ingot.services.grants import Grant, read_grant
from ingot.services.key_desk import IssuedKey, KeyDesk
from ingot.signing import Mistyped, Signer, lookup_kid
from ingot.store import keys as store
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.keys import KeyFound, Scope
from ingot.store.pepper import VERSION, load_pepper
from ingot.store.plans import lock_org
from ingot.store.schema import DEFAULT_ORG, micros, moment

REFRESH_SECONDS = 4.0
STALE_SECONDS = 5.0
REFUSAL_SECONDS = 1.0
TOUCH_SECONDS = 300
CACHE_ENTRIES = 20_000
REFUSAL_ENTRIES = 4_096

Value = TypeVar("Value")

_CREATE = (
    "POST /admin/v1/organizations/ORG/keys makes one, as does `ingot keys create --name NAME` on the server."
)
_NOBODY = bytes(32)  # what an unknown kid is compared with, so that it costs what a known one costs
_MISTYPED = "The API key is mistyped or incomplete: its checksum does not match. Copy it again as a whole."


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request acts for, and what it may do."""

    key_id: str
    kid: str
    name: str
    org_id: str
    scope: Scope
    grant: Grant


@dataclass(slots=True)
class _Entry:
    principal: Principal
    refresh_at: float
    stale_at: float


@dataclass(frozen=True, slots=True)
class _Refusal:
    text: str
    until: float


class KeyRing:
    """The keys of one database, with a cache of those in use. Belongs to one event loop."""

    def __init__(
        self,
        db: Database,
        signer: Signer,
        *,
        log: Log,
        clock: Clock | None = None,
        prefix: str = "ik",
        limit: int | None = None,
        random_text: Callable[[int], str] = ids.random_text,
        new_id: ids.NewId = ids.new_id,
    ) -> None:
        """`prefix` and `limit` are for the keys that its desk makes: how they begin, and how many one organization has."""
        self._db = db
        self._log = log
        self._clock = clock or SystemClock()
        self.desk = KeyDesk(
            db,
            signer,
            clock=self._clock,
            prefix=prefix,
            limit=limit,
            ended=self._forget,
            random_text=random_text,
            new_id=new_id,
        )
        self.failures = FailureLimiter(self._clock)
        self._digest = signer.digest
        self._monotonic = self._clock.monotonic
        self._entries: dict[bytes, _Entry] = {}
        self._refusals: dict[bytes, _Refusal] = {}
        self._flights: dict[bytes, asyncio.Task[Principal | _Refusal]] = {}
        self._touches: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls,
        db: Database,
        data: Path,
        *,
        log: Log,
        clock: Clock | None = None,
        prefix: str = "ik",
        limit: int | None = None,
    ) -> Self:
        """The ring of `db` with the pepper of `data`; raises StoreError where the two do not belong together."""
        at = micros((clock or SystemClock()).now())
        if await db.read(partial(store.pepper_fingerprint, version=VERSION)) is None:
            signer = await db.write(partial(_claim_pepper, data=data, at=at))
        else:
            signer = Signer(load_pepper(data, create=False), version=VERSION)
        known = await db.read(partial(store.pepper_fingerprint, version=VERSION))
        if not compare_digest(known or b"", signer.fingerprint()):
            raise StoreError(
                f"The pepper in {data} is not the one that the keys in the database were signed with. "
                f"Restore both from the same backup."
            )
        return cls(db, signer, log=log, clock=clock, prefix=prefix, limit=limit)

    async def close(self) -> None:
        """Waits for what runs in the background, lookups and notes of use; call it before the database's."""
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        await asyncio.gather(*self._touches)

    # ---- authentication

    def authenticate_cached(self, token: bytes) -> Principal | None:
        """Who `token` stands for if that was looked up in the last 5 s; None means: ask `authenticate`."""
        return self.known(self._digest(token))

    def digest(self, token: bytes) -> bytes:
        """What stands for `token` in `known`; it tells nothing of the token."""
        return self._digest(token)

    def known(self, digest: bytes) -> Principal | None:
        """`authenticate_cached` for a caller that keeps the digest."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if self._monotonic() < entry.refresh_at:
            return entry.principal
        return self._aged(digest, entry)

    async def authenticate(self, token: bytes, *, address: str | None = None) -> Principal:
        """Who `token` stands for; raises Unauthenticated with a text that helps, StoreError if unreadable.

        With the `address` that it came from, failures are counted: too many are RateLimited. A token that was good
        when it was last looked up is not held back by the failures of others behind the same address.
        """
        digest = self._digest(token)
        known = self.known(digest)
        if known is not None:
            return known
        try:
            kid = lookup_kid(token, digest)
        except Mistyped:
            kid = None
        if address is not None and digest not in self._entries:
            self.failures.check(address, kid)
        refusal = self._refusals.get(digest)
        outcome: Principal | _Refusal
        if kid is None:
            outcome = _Refusal(_MISTYPED, 0.0)
        elif refusal is not None and self._monotonic() < refusal.until:
            outcome = refusal
        else:
            # Shielded: a client that leaves must not take the lookup from the others who wait for it.
            outcome = await asyncio.shield(self._flight(digest, kid))
        if isinstance(outcome, Principal):
            return outcome
        if address is not None:
            self.failures.failed(address, kid)
        raise Unauthenticated(outcome.text)

    def _aged(self, digest: bytes, entry: _Entry) -> Principal | None:
        """The principal of an entry in its last second, being looked up again; None when it is over."""
        if self._monotonic() >= entry.stale_at:
            return None
        self._flight(digest, entry.principal.kid)
        return entry.principal

    def _flight(self, digest: bytes, kid: str) -> "asyncio.Task[Principal | _Refusal]":
        """The one lookup that runs for this digest."""
        flight = self._flights.get(digest)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._look_up(digest, kid))
            self._flights[digest] = flight
            flight.add_done_callback(partial(self._landed, digest))
        return flight

    def _landed(self, digest: bytes, flight: "asyncio.Task[Principal | _Refusal]") -> None:
        del self._flights[digest]
        # Asking for the error marks it as seen: in the background there may be nobody else to do so.
        if not flight.cancelled() and flight.exception() is not None:
            self._log.error("key_lookup_failed", error=str(flight.exception()))

    async def _look_up(self, digest: bytes, kid: str) -> Principal | _Refusal:
        started = self._monotonic()  # before the read: an entry's age counts from what it may have missed
        found = await self._db.read(partial(store.find_key, kid=kid))
        now = self._clock.now()
        matches = compare_digest(_NOBODY if found is None else found.key.digest, digest)
        text = _objection(found if matches else None, now)
        if found is None or text is not None:
            self._entries.pop(digest, None)
            refusal = _Refusal(text or "", started + REFUSAL_SECONDS)
            _put(self._refusals, digest, refusal, limit=REFUSAL_ENTRIES)
            return refusal
        row = found.key
        left = STALE_SECONDS if row.expires_at is None else row.expires_at / 1e6 - now
        stale_at = started + min(STALE_SECONDS, left)
        principal = Principal(
            key_id=row.id,
            kid=row.kid,
            name=row.name,
            org_id=row.org_id,
            scope=row.scope,
            grant=read_grant(found),
        )
        entry = _Entry(principal, min(started + REFRESH_SECONDS, stale_at), stale_at)
        _put(self._entries, digest, entry, limit=CACHE_ENTRIES)
        if row.last_used_at is None or micros(now - TOUCH_SECONDS) >= row.last_used_at:
            self._in_background(self._touch(row.id, now))
        return principal

    async def _touch(self, key_id: str, now: float) -> None:
        """Notes that a key is in use: every 5 minutes at most, and a failure harms nobody."""
        before = micros(now - TOUCH_SECONDS)
        try:
            await self._db.write(partial(store.touch_key, key_id=key_id, at=micros(now), before=before))
        except StoreError as error:
            self._log.warning("key_use_not_noted", key=key_id, error=error.message)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._touches.add(task)
        task.add_done_callback(self._touches.discard)

    # ---- what the desk does, and what this ring must know of it

    async def ensure_first_key(self, bootstrap: str | None) -> IssuedKey | None:
        """Puts the bootstrap key in force, or makes a first key where none was ever made.

        Returns that first key, to be shown once; None otherwise. A bootstrap value that differs from the
        last one takes its place. Raises InvalidRequest for a bad value, Conflict for a revoked one.
        """
        if not bootstrap:
            return await self.desk.first()
        await self.desk.place_bootstrap(bootstrap)
        self._refusals.clear()
        return None

    def _forget(self, key_id: str) -> None:
        for digest in [d for d, entry in self._entries.items() if entry.principal.key_id == key_id]:
            del self._entries[digest]


def _objection(found: KeyFound | None, now: float) -> str | None:
    """Why a request with this key is refused; only who holds the whole key learns more than 'unknown'."""
    if found is None:
        return f"Unknown API key. Check that it was copied as a whole and belongs to this server. {_CREATE}"
    row = found.key
    if row.revoked_at is not None:
        return f"This API key was revoked on {moment(row.revoked_at)}. {_CREATE}"
    if row.expires_at is not None and row.expires_at <= micros(now):
        return f"This API key expired on {moment(row.expires_at)}. {_CREATE}"
    if found.org_deleted_at is not None:
        return f"The organization of this API key was deleted on {moment(found.org_deleted_at)}."
    if row.user_id is None:
        return None
    if found.verified_at is None or found.disabled_at is not None or not found.member:
        return (
            "The account that this API key belongs to is disabled, not verified, or no member of the organization any "
            "more. Ask an administrator of the organization."
        )
    return None


def _put(cache: dict[bytes, Value], digest: bytes, value: Value, *, limit: int) -> None:
    """Adds to a bounded cache, newest last; the oldest goes."""
    cache.pop(digest, None)
    if len(cache) >= limit:
        del cache[next(iter(cache))]
    cache[digest] = value


def _claim_pepper(conn: Connection, data: Path, at: int) -> Signer:
    # Under a lock that all processes share: of two first starts one makes the file and the other finds it.
    lock_org(conn, DEFAULT_ORG)
    create = store.pepper_fingerprint(conn, VERSION) is None
    signer = Signer(load_pepper(data, create=create), version=VERSION)
    store.claim_pepper(conn, VERSION, fingerprint=signer.fingerprint(), at=at)
    return signer
