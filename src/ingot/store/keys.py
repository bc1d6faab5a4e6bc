"""The statements about API keys and the peppers that signed them.

Plain functions over a connection; who calls decides about transactions. A key's text never comes here.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, bindparam, insert, or_, select, update

from ingot.store.schema import api_keys, peppers

Source = Literal["issued", "bootstrap"]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is stored; instants in microseconds."""

    id: str
    kid: str
    digest: bytes
    pepper: int
    last4: str
    name: str
    source: Source
    created_at: int
    last_used_at: int | None = None
    expires_at: int | None = None
    revoked_at: int | None = None


_FIELDS = tuple(field.name for field in fields(KeyRow))

# Built once: to construct a statement costs more than to run it.
_BY_KID = select(api_keys).where(api_keys.c.kid == bindparam("kid"))
_INSERT = insert(api_keys)
_TOUCH = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"))
    .where(or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= bindparam("before")))
    .values(last_used_at=bindparam("at"))
)


def insert_key(conn: Connection, row: KeyRow) -> None:
    """Adds a key; raises StoreConflict (through the database) where the kid is taken."""
    conn.execute(_INSERT, _values(row))


def key_by_kid(conn: Connection, kid: str) -> KeyRow | None:
    """The key with this kid, revoked or not."""
    found = conn.execute(_BY_KID, {"kid": kid}).mappings().first()
    return None if found is None else _row(found)


def list_keys(conn: Connection) -> list[KeyRow]:
    """All keys, the oldest first."""
    return _all(conn, select(api_keys))


def keys_named(conn: Connection, which: str) -> list[KeyRow]:
    """The key whose id or kid is `which`; where there is none, all whose name it is."""
    exact = _all(conn, select(api_keys).where(or_(api_keys.c.id == which, api_keys.c.kid == which)))
    return exact or _all(conn, select(api_keys).where(api_keys.c.name == which))


def any_key(conn: Connection) -> bool:
    """Whether a key was ever made, revoked ones included."""
    return conn.execute(select(api_keys.c.id).limit(1)).first() is not None


def live_bootstrap(conn: Connection) -> KeyRow | None:
    """The bootstrap key in force."""
    query = select(api_keys).where(api_keys.c.source == "bootstrap", api_keys.c.revoked_at.is_(None))
    found = _all(conn, query)
    return found[-1] if found else None


def replace_key(conn: Connection, row: KeyRow) -> None:
    """Puts a new secret under the id of an existing key: the old one is unknown from then on."""
    conn.execute(update(api_keys).where(api_keys.c.id == row.id), _values(row))


def revoke_key(conn: Connection, key_id: str, *, at: int) -> None:
    """Ends a key; the first revocation's instant stays."""
    query = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    conn.execute(query.values(revoked_at=at))


def touch_key(conn: Connection, key_id: str, *, at: int, before: int) -> None:
    """Notes a use at `at`, unless one after `before` is noted already."""
    conn.execute(_TOUCH, {"key": key_id, "at": at, "before": before})


def pepper_fingerprint(conn: Connection, version: int) -> bytes | None:
    """The fingerprint of the pepper that keys of this version were signed with."""
    found = conn.execute(select(peppers.c.fingerprint).where(peppers.c.version == version)).scalar()
    return None if found is None else bytes(found)


def claim_pepper(conn: Connection, version: int, *, fingerprint: bytes, at: int) -> bytes:
    """The fingerprint in force: the given one if it is the first of its version."""
    known = pepper_fingerprint(conn, version)
    if known is not None:
        return known
    conn.execute(insert(peppers), {"version": version, "fingerprint": fingerprint, "created_at": at})
    return fingerprint


def _all(conn: Connection, query: Any) -> list[KeyRow]:
    ordered = query.order_by(api_keys.c.created_at, api_keys.c.id)
    return [_row(found) for found in conn.execute(ordered).mappings()]


def _row(found: RowMapping) -> KeyRow:
    return KeyRow(**{name: found[name] for name in _FIELDS})


def _values(row: KeyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _FIELDS}
