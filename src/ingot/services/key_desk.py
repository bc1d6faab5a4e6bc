"""Where keys come from and end: what may be asked of the keys of organizations, and what is told about them.

How many keys an organization may have is its plan's number or the preset's, whichever is lower. What happens in the
database is in `key_changes`. Decides nothing about who may ask: the caller has checked that. The text of a key is
returned once and kept nowhere.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import InvalidRequest
from ingot.pricing import LARGEST, usd
from ingot.services import key_changes
from ingot.services.bootstrap import BOOTSTRAP_NAME, bootstrap_token
from ingot.services.grants import read_models, write_models
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.key_changes import Changed, Wanted
from ingot.signing import Signer, lookup_kid, make_key
from ingot.store import keys as store
from ingot.store.budgets import Budget
from ingot.store.database import Database
from ingot.store.keys import KeyRow, Scope
from ingot.store.schema import DEFAULT_ORG, micros, seconds, seconds_or_none

NAME_LENGTH = 100
MODEL_LENGTH = 200
MODELS = 1_000
MOST = 2**53
"""Of requests and tokens a minute: the largest integer that all readers of JSON agree on."""


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A key that somebody wants: `user_id` a member's id or e-mail address, `expires` an instant in seconds since the
    epoch, `cap` in 1e-12 USD.
    """

    name: str
    user_id: str | None = None
    scope: Scope = "inference"
    models: tuple[str, ...] | None = None
    expires: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be told about a key; instants in seconds since the epoch, `cap` in USD."""

    id: str
    kid: str
    name: str
    last4: str
    source: str
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    revoked_at: int | None
    org_id: str
    user_id: str | None
    scope: Scope
    models: list[str] | None
    rpm: int | None
    tpm: int | None
    cap: str | None
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its text, which is shown once and kept nowhere."""

    info: KeyInfo
    secret: str = field(repr=False)


class KeyDesk:
    """The keys of one database, for those who administer them."""

    def __init__(
        self,
        db: Database,
        signer: Signer,
        *,
        clock: Clock,
        prefix: str = "ik",
        limit: int | None = None,
        ended: Callable[[str], None] = lambda _: None,
        random_text: Callable[[int], str] = ids.random_text,
        new_id: ids.NewId = ids.new_id,
    ) -> None:
        """`limit` is the most keys of an organization whatever its plan; `ended` is told the id of each ended key."""
        self._db = db
        self._signer = signer
        self._clock = clock
        self._prefix = prefix
        self._limit = limit
        self._ended = ended
        self._random_text = random_text
        self._new_id = new_id

    async def issue(
        self,
        org_id: str,
        order: KeyOrder,
        *,
        actor: str,
        known: Collection[str] | None = None,
        keep: Keep[IssuedKey] = keep_nothing,
    ) -> IssuedKey:
        """A new key, for some of the `known` models where the order names any; raises InvalidRequest, NotFound, or Forbidden where there is no place for it."""
        _check(order, now=self._clock.now())
        wanted, secret = self._make(org_id, order)
        wanted = replace(wanted, known=None if known is None else frozenset(known))

        def work(conn: Connection) -> IssuedKey:
            row = key_changes.issue(conn, wanted=wanted, limit=self._limit, actor=actor)
            return IssuedKey(_info(row, order.cap), secret)

        return await self._db.write(kept(work, keep))

    async def list_all(self) -> list[KeyInfo]:
        """The keys of all organizations, the oldest first: for the operator alone."""

        def read(conn: Connection) -> list[KeyInfo]:
            rows = store.every_key(conn)
            caps = {org_id: store.key_caps(conn, org_id) for org_id in {row.org_id for row in rows}}
            return [_info(row, caps[row.org_id].get(row.id)) for row in rows]

        return await self._db.read(read)

    async def list(self, org_id: str) -> list[KeyInfo]:
        """All keys of an organization, the oldest first, revoked ones included."""

        def read(conn: Connection) -> list[KeyInfo]:
            caps = store.key_caps(conn, org_id)
            return [_info(row, caps.get(row.id)) for row in store.keys_of(conn, org_id)]

        return await self._db.read(read)

    async def find(self, which: str) -> KeyInfo:
        """The key with this id, kid or name in any organization: for the operator alone."""

        def read(conn: Connection) -> KeyInfo:
            row = key_changes.choose(store.keys_anywhere(conn, which), which)
            return _info(row, store.key_caps(conn, row.org_id).get(row.id))

        return await self._db.read(read)

    async def get(self, org_id: str, which: str) -> KeyInfo:
        """The organization's key with this id, kid or name; raises NotFound or Conflict."""

        def read(conn: Connection) -> KeyInfo:
            row = key_changes.choose(store.keys_named(conn, org_id, which=which), which)
            return _info(row, store.key_caps(conn, org_id).get(row.id))

        return await self._db.read(read)

    async def roll(
        self,
        org_id: str,
        which: str,
        *,
        actor: str,
        force: bool = False,
        keep: Keep[IssuedKey] = keep_nothing,
    ) -> IssuedKey:
        """A successor with the same name and rights, in the same place; the old key is valid for 24 h more.

        Raises Conflict for a key that cannot be rolled, and while its own predecessor is still valid, unless forced:
        that one then ends at once.
        """
        key = make_key(self._prefix, random_text=self._random_text)
        new = self._row(key.text, kid=key.kid, name="", source="issued")

        def work(conn: Connection) -> tuple[Changed, IssuedKey]:
            changed = key_changes.roll(conn, org_id=org_id, which=which, new=new, force=force, actor=actor)
            issued = IssuedKey(_info(changed.row, changed.cap), key.text)
            keep(conn, issued)
            return changed, issued

        changed, issued = await self._db.write(work)
        self._tell(changed)
        return issued

    async def revoke(self, org_id: str, which: str, *, actor: str) -> KeyInfo:
        """Ends the key with this id, kid or name, and one that it replaced; again is no error.

        Raises NotFound or Conflict.
        """
        at = micros(self._clock.now())
        changed = await self._db.write(
            partial(key_changes.revoke, org_id=org_id, which=which, at=at, actor=actor)
        )
        return self._tell(changed)

    async def place_bootstrap(self, value: str) -> None:
        """Puts the bootstrap key in force, in place of the one before; raises InvalidRequest or Conflict."""
        token = bootstrap_token(value)
        kid = lookup_kid(token, self._signer.digest(token))
        row = self._row(value, kid=kid, name=BOOTSTRAP_NAME, source="bootstrap")
        await self._db.write(partial(key_changes.place, row=row))

    async def first(self) -> IssuedKey | None:
        """The operator's first key where none was ever made, to be shown once; None otherwise."""
        wanted, secret = self._make(DEFAULT_ORG, KeyOrder("first"))
        issued = await self._db.write(partial(key_changes.issue_first, wanted=wanted, limit=self._limit))
        return IssuedKey(_info(wanted.row, None), secret) if issued else None

    def _tell(self, changed: Changed) -> KeyInfo:
        for key_id in changed.ended:
            self._ended(key_id)
        return _info(changed.row, changed.cap)

    def _make(self, org_id: str, order: KeyOrder) -> tuple[Wanted, str]:
        key = make_key(self._prefix, random_text=self._random_text)
        row = replace(
            self._row(key.text, kid=key.kid, name=order.name.strip(), source="issued"),
            expires_at=None if order.expires is None else micros(order.expires),
            org_id=org_id,
            user_id=order.user_id,
            scope=order.scope,
            models=write_models(order.models),
            rpm=order.rpm,
            tpm=order.tpm,
        )
        budget = None if order.cap is None else Budget(self._new_id("bud"), row.id, "total", order.cap)
        return Wanted(row, budget), key.text

    def _row(self, text: str, *, kid: str, name: str, source: store.Source) -> KeyRow:
        return KeyRow(
            id=self._new_id("key"),
            kid=kid,
            digest=self._signer.digest(text.encode()),
            pepper=self._signer.version,
            last4=text[-4:],
            name=name,
            source=source,
            created_at=micros(self._clock.now()),
        )


def _check(order: KeyOrder, *, now: float) -> None:
    """Raises InvalidRequest for what no key can have."""
    if not 1 <= len(order.name.strip()) <= NAME_LENGTH or not order.name.strip().isprintable():
        raise InvalidRequest(f"A key's name has 1 to {NAME_LENGTH} printable characters.", param="name")
    if order.expires is not None and order.expires <= now:
        raise InvalidRequest("A key's expiry must lie in the future.", param="expires_at")
    if order.scope not in ("inference", "admin"):
        raise InvalidRequest("A key's scope is `inference` or `admin`.", param="scope")
    for param, value in (("rpm", order.rpm), ("tpm", order.tpm)):
        if value is not None and not 1 <= value <= MOST:
            raise InvalidRequest(
                f"A key's {param} lies between 1 and {MOST}; leave it out for none.", param=param
            )
    if order.cap is not None and not 0 < order.cap <= LARGEST:
        raise InvalidRequest(
            f"A key's cap is more than 0 and at most {usd(LARGEST)} USD; leave it out for none.", param="cap"
        )
    if order.models is None:
        return
    if not 1 <= len(order.models) <= MODELS or not all(
        1 <= len(name) <= MODEL_LENGTH and name.isprintable() for name in order.models
    ):
        raise InvalidRequest(
            f"A key's models are 1 to {MODELS} names of models; leave them out to allow all.", param="models"
        )


def _info(row: KeyRow, cap: int | None) -> KeyInfo:
    models = read_models(row.models)
    return KeyInfo(
        id=row.id,
        kid=row.kid,
        name=row.name,
        last4=row.last4,
        source=row.source,
        created_at=seconds(row.created_at),
        last_used_at=seconds_or_none(row.last_used_at),
        expires_at=seconds_or_none(row.expires_at),
        revoked_at=seconds_or_none(row.revoked_at),
        org_id=row.org_id,
        user_id=row.user_id,
        scope=row.scope,
        models=None if models is None else sorted(models),
        rpm=row.rpm,
        tpm=row.tpm,
        cap=None if cap is None else usd(cap),
        replaced_by=row.replaced_by,
    )
