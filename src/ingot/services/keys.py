"""Who is asking: issues, lists and revokes API keys, and turns the text of one into a Principal.

    token --HMAC--> digest --cache, <= 5 s old--> Principal          3 us, no await
                           --one lookup for all who wait-----> Principal | Unauthenticated

A revocation holds within 5 s everywhere, whichever process made it, because nothing cached is older. Keys in
use are looked up again in the background from their 4th second on, so that no request waits for it. Knows no
header and no status line; never logs or keeps the text of a key.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock, SystemClock
from ingot.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from ingot.logs import Log
from ingot.services.bootstrap import BOOTSTRAP_NAME, bootstrap_token, place_bootstrap
from ingot.signing import Mistyped, Signer, lookup_kid, make_key
from ingot.store import keys as store
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.keys import KeyRow
from ingot.store.pepper import VERSION, load_pepper
from ingot.store.schema import micros, moment, seconds

REFRESH_SECONDS = 4.0
STALE_SECONDS = 5.0
REFUSAL_SECONDS = 1.0
TOUCH_SECONDS = 300
CACHE_ENTRIES = 20_000
REFUSAL_ENTRIES = 4_096
NAME_LENGTH = 100

Value = TypeVar("Value")

_CREATE = "Create one with `ingot keys create --name NAME`."
_NOBODY = bytes(32)  # what an unknown kid is compared with, so that it costs what a known one costs


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request acts for."""

    key_id: str
    kid: str
    name: str


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be told about a key; instants in seconds since the epoch."""

    id: str
    kid: str
    name: str
    last4: str
    source: str
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its text, which is shown once and kept nowhere."""

    info: KeyInfo
    secret: str = field(repr=False)


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
        random_text: Callable[[int], str] = ids.random_text,
        new_id: ids.NewId = ids.new_id,
    ) -> None:
        self._db = db
        self._log = log
        self._clock = clock or SystemClock()
        self._prefix = prefix
        self._random_text = random_text
        self._new_id = new_id
        self._version = signer.version
        self._digest = signer.digest
        self._monotonic = self._clock.monotonic
        self._entries: dict[bytes, _Entry] = {}
        self._refusals: dict[bytes, _Refusal] = {}
        self._flights: dict[bytes, asyncio.Task[Principal | _Refusal]] = {}
        self._touches: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls, db: Database, data: Path, *, log: Log, clock: Clock | None = None, prefix: str = "ik"
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
        return cls(db, signer, log=log, clock=clock, prefix=prefix)

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

    async def authenticate(self, token: bytes) -> Principal:
        """Who `token` stands for; raises Unauthenticated with a text that helps, StoreError if unreadable."""
        known = self.authenticate_cached(token)
        if known is not None:
            return known
        digest = self._digest(token)
        refusal = self._refusals.get(digest)
        if refusal is not None and self._monotonic() < refusal.until:
            raise Unauthenticated(refusal.text)
        try:
            kid = lookup_kid(token, digest)
        except Mistyped as error:
            raise Unauthenticated(
                "The API key is mistyped or incomplete: its checksum does not match. Copy it again as a whole."
            ) from error
        # Shielded: a client that leaves must not take the lookup from the others who wait for it.
        outcome = await asyncio.shield(self._flight(digest, kid))
        if isinstance(outcome, _Refusal):
            raise Unauthenticated(outcome.text)
        return outcome

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
        row = await self._db.read(partial(store.key_by_kid, kid=kid))
        now = self._clock.now()
        matches = compare_digest(_NOBODY if row is None else row.digest, digest)
        text = _objection(row if matches else None, now)
        if row is None or text is not None:
            self._entries.pop(digest, None)
            refusal = _Refusal(text or "", started + REFUSAL_SECONDS)
            _put(self._refusals, digest, refusal, limit=REFUSAL_ENTRIES)
            return refusal
        left = STALE_SECONDS if row.expires_at is None else row.expires_at / 1e6 - now
        stale_at = started + min(STALE_SECONDS, left)
        principal = Principal(key_id=row.id, kid=row.kid, name=row.name)
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

    # ---- administration

    async def issue(self, name: str, *, expires: float | None = None) -> IssuedKey:
        """A new key; `expires` is an instant in seconds since the epoch. Raises InvalidRequest."""
        row, secret = self._new_row(name, expires=expires)
        await self._db.write(partial(store.insert_key, row=row))
        return IssuedKey(_info(row), secret)

    async def list(self) -> list[KeyInfo]:
        """All keys, the oldest first, revoked ones included."""
        return [_info(row) for row in await self._db.read(store.list_keys)]

    async def revoke(self, which: str) -> KeyInfo:
        """Ends the key with this id, kid or name; again is no error. Raises NotFound or Conflict."""
        row = await self._db.write(partial(_revoke, which=which, at=micros(self._clock.now())))
        for digest in [d for d, entry in self._entries.items() if entry.principal.key_id == row.id]:
            del self._entries[digest]
        return _info(row)

    async def ensure_first_key(self, bootstrap: str | None) -> IssuedKey | None:
        """Puts the bootstrap key in force, or makes a first key where none was ever made.

        Returns that first key, to be shown once; None otherwise. A bootstrap value that differs from the
        last one takes its place. Raises InvalidRequest for a bad value, Conflict for a revoked one.
        """
        if bootstrap:
            token = bootstrap_token(bootstrap)
            kid = lookup_kid(token, self._digest(token))
            row = self._row(bootstrap, kid=kid, name=BOOTSTRAP_NAME, source="bootstrap")
            await self._db.write(partial(place_bootstrap, row=row))
            self._refusals.clear()
            return None
        row, secret = self._new_row("first", expires=None)
        made = await self._db.write(partial(_insert_first, row=row))
        return IssuedKey(_info(row), secret) if made else None

    def _new_row(self, name: str, *, expires: float | None) -> tuple[KeyRow, str]:
        name = name.strip()
        if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
            raise InvalidRequest(f"A key's name has 1 to {NAME_LENGTH} printable characters.", param="name")
        now = self._clock.now()
        if expires is not None and expires <= now:
            raise InvalidRequest("A key's expiry must lie in the future.", param="expires")
        key = make_key(self._prefix, random_text=self._random_text)
        row = self._row(key.text, kid=key.kid, name=name, source="issued")
        return replace(row, expires_at=None if expires is None else micros(expires)), key.text

    def _row(self, text: str, *, kid: str, name: str, source: store.Source) -> KeyRow:
        return KeyRow(
            id=self._new_id("key"),
            kid=kid,
            digest=self._digest(text.encode()),
            pepper=self._version,
            last4=text[-4:],
            name=name,
            source=source,
            created_at=micros(self._clock.now()),
        )


def _objection(row: KeyRow | None, now: float) -> str | None:
    """Why a request with this key is refused; only who holds the whole key learns more than 'unknown'."""
    if row is None:
        return f"Unknown API key. Check that it was copied as a whole and belongs to this server. {_CREATE}"
    if row.revoked_at is not None:
        return f"This API key was revoked on {moment(row.revoked_at)}. {_CREATE}"
    if row.expires_at is not None and row.expires_at <= micros(now):
        return f"This API key expired on {moment(row.expires_at)}. {_CREATE}"
    return None


def _put(cache: dict[bytes, Value], digest: bytes, value: Value, *, limit: int) -> None:
    """Adds to a bounded cache, newest last; the oldest goes."""
    cache.pop(digest, None)
    if len(cache) >= limit:
        del cache[next(iter(cache))]
    cache[digest] = value


def _info(row: KeyRow) -> KeyInfo:
    return KeyInfo(
        id=row.id,
        kid=row.kid,
        name=row.name,
        last4=row.last4,
        source=row.source,
        created_at=seconds(row.created_at),
        last_used_at=None if row.last_used_at is None else seconds(row.last_used_at),
        expires_at=None if row.expires_at is None else seconds(row.expires_at),
        revoked_at=None if row.revoked_at is None else seconds(row.revoked_at),
    )


def _claim_pepper(conn: Connection, data: Path, at: int) -> Signer:
    # Under the write lock: of two first starts one makes the file and the other finds it.
    create = store.pepper_fingerprint(conn, VERSION) is None
    signer = Signer(load_pepper(data, create=create), version=VERSION)
    store.claim_pepper(conn, VERSION, fingerprint=signer.fingerprint(), at=at)
    return signer


def _insert_first(conn: Connection, row: KeyRow) -> bool:
    if store.any_key(conn):
        return False
    store.insert_key(conn, row)
    return True


def _revoke(conn: Connection, which: str, at: int) -> KeyRow:
    found = store.keys_named(conn, which)
    if not found:
        raise NotFound(
            f"There is no key with the id, kid or name {which!r}. `ingot keys list` shows them all."
        )
    live = [row for row in found if row.revoked_at is None]
    if len(live) > 1:
        raise Conflict(
            f"{len(live)} keys are named {which!r}. Name the one you mean by its kid: "
            f"{', '.join(row.kid for row in live)}."
        )
    if not live:
        return found[-1]
    store.revoke_key(conn, live[0].id, at=at)
    return replace(live[0], revoked_at=at)
