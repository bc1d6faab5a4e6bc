"""The statements about API keys and the peppers that signed them.

Plain functions over a connection; who calls decides about transactions. A key's text never comes here. What an
organization owns is asked for with the organization first, so that an id of another one is no id at all; the few
functions that look across organizations are the operator's and the authentication's, and say so.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, and_, bindparam, false, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.store.budgets import Budget
from ingot.store.plans import PLAN_COLUMNS, PlanRow
from ingot.store.schema import DEFAULT_ORG, api_keys, budgets, members, organizations, peppers, plans, users

Source = Literal["issued", "bootstrap"]
Scope = Literal["inference", "admin"]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is stored; instants in microseconds, `models` a JSON array."""

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
    org_id: str = DEFAULT_ORG
    user_id: str | None = None
    scope: Scope = "inference"
    models: str | None = None
    rpm: int | None = None
    tpm: int | None = None
    replaced_by: str | None = None

    def live(self, at: int) -> bool:
        """Whether a request may carry it at that instant."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


@dataclass(frozen=True, slots=True)
class KeyFound:
    """A key with all that decides what a request with it may do."""

    key: KeyRow
    plan: PlanRow
    prepaid: bool
    keep_content: bool
    retention_days: int | None
    org_deleted_at: int | None
    verified_at: int | None  # of the user that the key belongs to, if any
    disabled_at: int | None
    member: bool  # whether that user still belongs to the organization, as operators do to the operator's own
    budgets: tuple[Budget, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a key is made for, and whether that person may have one."""

    user_id: str
    verified: bool
    disabled: bool


_FIELDS = tuple(field.name for field in fields(KeyRow))
_COLUMNS = tuple(api_keys.c[name] for name in _FIELDS)

# Built once: to construct a statement costs more than to run it.
_BY_KID = select(*_COLUMNS).where(api_keys.c.kid == bindparam("kid"))
_INSERT = insert(api_keys)
_TOUCH = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"))
    .where(or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= bindparam("before")))
    .values(last_used_at=bindparam("at"))
)

_ORG = len(_FIELDS) + len(PLAN_COLUMNS)
_USER = _ORG + 4
_BUDGET = _USER + 4
# One row for each budget in force, one without where there is none: a single query on every database.
_FIND = (
    select(
        *_COLUMNS,
        *PLAN_COLUMNS,
        organizations.c.prepaid,
        organizations.c.keep_content,
        organizations.c.retention_days,
        organizations.c.deleted_at,
        users.c.verified_at,
        users.c.disabled_at,
        members.c.role,
        users.c.operator,
        budgets.c.id,
        budgets.c.key_id,
        budgets.c.period,
        budgets.c.cap,
    )
    .select_from(api_keys)
    .join(organizations, organizations.c.id == api_keys.c.org_id)
    .join(plans, plans.c.id == organizations.c.plan_id)
    .outerjoin(users, users.c.id == api_keys.c.user_id)
    .outerjoin(members, and_(members.c.org_id == api_keys.c.org_id, members.c.user_id == api_keys.c.user_id))
    .outerjoin(
        budgets,
        and_(
            budgets.c.org_id == api_keys.c.org_id,
            budgets.c.ended_at.is_(None),
            # A key that was rolled spends from the budget that its successor took over.
            or_(
                budgets.c.key_id.is_(None),
                budgets.c.key_id == api_keys.c.id,
                budgets.c.key_id == api_keys.c.replaced_by,
            ),
        ),
    )
    .where(api_keys.c.kid == bindparam("kid"))
    .order_by(budgets.c.id)
)


# ---- for the authentication and the operator: across organizations


def find_key(conn: Connection, kid: str) -> KeyFound | None:
    """The key with this kid, revoked or not, and what its organization, plan, user and budgets say: one query."""
    rows = conn.execute(_FIND, {"kid": kid}).all()
    if not rows:
        return None
    first = tuple(rows[0])
    prepaid, keep_content, retention_days, deleted_at = first[_ORG:_USER]
    verified_at, disabled_at, role, operator = first[_USER:_BUDGET]
    key = KeyRow(*first[: len(_FIELDS)])
    return KeyFound(
        key=key,
        plan=PlanRow(*first[len(_FIELDS) : _ORG]),
        prepaid=bool(prepaid),
        keep_content=bool(keep_content),
        retention_days=retention_days,
        org_deleted_at=deleted_at,
        verified_at=verified_at,
        disabled_at=disabled_at,
        member=role is not None or (bool(operator) and key.org_id == DEFAULT_ORG),
        budgets=tuple(Budget(*row[_BUDGET:]) for row in rows if row[_BUDGET] is not None),
    )


def key_by_kid(conn: Connection, kid: str) -> KeyRow | None:
    """The key with this kid, revoked or not."""
    found = conn.execute(_BY_KID, {"kid": kid}).mappings().first()
    return None if found is None else _row(found)


def every_key(conn: Connection) -> list[KeyRow]:
    """The keys of all organizations, the oldest first."""
    return _all(conn, select(*_COLUMNS))


def keys_anywhere(conn: Connection, which: str) -> list[KeyRow]:
    """The key whose id or kid is `which`, in any organization; where there is none, all whose name it is."""
    return _named(conn, select(*_COLUMNS), which)


def any_key(conn: Connection) -> bool:
    """Whether a key was ever made, revoked ones included."""
    return conn.execute(select(api_keys.c.id).limit(1)).first() is not None


def live_bootstrap(conn: Connection) -> KeyRow | None:
    """The bootstrap key in force."""
    query = select(*_COLUMNS).where(api_keys.c.source == "bootstrap", api_keys.c.revoked_at.is_(None))
    found = _all(conn, query)
    return found[-1] if found else None


def touch_key(conn: Connection, key_id: str, *, at: int, before: int) -> None:
    """Notes a use at `at`, unless one after `before` is noted already."""
    conn.execute(_TOUCH, {"key": key_id, "at": at, "before": before})


# ---- within one organization


def keys_of(conn: Connection, org_id: str) -> list[KeyRow]:
    """All keys of an organization, the oldest first."""
    return _all(conn, select(*_COLUMNS).where(api_keys.c.org_id == org_id))


def keys_named(conn: Connection, org_id: str, *, which: str) -> list[KeyRow]:
    """The organization's key whose id or kid is `which`; where there is none, all whose name it is."""
    return _named(conn, select(*_COLUMNS).where(api_keys.c.org_id == org_id), which)


def predecessors(conn: Connection, org_id: str, *, key_id: str) -> list[KeyRow]:
    """The keys that this one replaced."""
    query = select(*_COLUMNS).where(api_keys.c.org_id == org_id, api_keys.c.replaced_by == key_id)
    return _all(conn, query)


def key_caps(conn: Connection, org_id: str) -> dict[str, int]:
    """The most that each capped key of an organization may ever spend, by the key's id."""
    query = (
        select(budgets.c.key_id, func.min(budgets.c.cap))
        .where(budgets.c.org_id == org_id, budgets.c.key_id.is_not(None))
        .where(budgets.c.period == "total", budgets.c.ended_at.is_(None))
        .group_by(budgets.c.key_id)
    )
    return {key_id: int(cap) for key_id, cap in conn.execute(query)}


def holder(conn: Connection, org_id: str, *, who: str) -> Holder | None:
    """The member of an organization that a key is made for, by id or e-mail address; of the operator's own also an
    operator.
    """
    belongs = users.c.operator == 1 if org_id == DEFAULT_ORG else false()
    query = (
        select(users.c.id, users.c.verified_at, users.c.disabled_at)
        .outerjoin(members, and_(members.c.user_id == users.c.id, members.c.org_id == org_id))
        .where(or_(users.c.id == who, users.c.email == who.lower()))
        .where(or_(members.c.role.is_not(None), belongs))
    )
    found = conn.execute(query).first()
    if found is None:
        return None
    return Holder(found[0], verified=found[1] is not None, disabled=found[2] is not None)


def insert_key(conn: Connection, row: KeyRow) -> None:
    """Adds a key; raises StoreConflict (through the database) where the kid is taken."""
    conn.execute(_INSERT, _values(row))


def replace_key(conn: Connection, row: KeyRow) -> None:
    """Puts a new secret under the id of an existing key: the old one is unknown from then on."""
    conn.execute(update(api_keys).where(api_keys.c.id == row.id), _values(row))


def revoke_key(conn: Connection, org_id: str, *, key_id: str, at: int) -> None:
    """Ends a key; the first revocation's instant stays."""
    query = update(api_keys).where(
        api_keys.c.org_id == org_id, api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)
    )
    conn.execute(query.values(revoked_at=at))


def supersede_key(conn: Connection, org_id: str, *, key_id: str, by: str, until: int) -> None:
    """Lets another key take this one's place, and its budgets; this one goes on until `until`."""
    of_key = and_(api_keys.c.org_id == org_id, api_keys.c.id == key_id)
    conn.execute(update(api_keys).where(of_key).values(replaced_by=by, expires_at=until))
    of_budget = and_(budgets.c.org_id == org_id, budgets.c.key_id == key_id, budgets.c.ended_at.is_(None))
    conn.execute(update(budgets).where(of_budget).values(key_id=by))


def pepper_fingerprint(conn: Connection, version: int) -> bytes | None:
    """The fingerprint of the pepper that keys of this version were signed with."""
    found = conn.execute(select(peppers.c.fingerprint).where(peppers.c.version == version)).scalar()
    return None if found is None else bytes(found)


def claim_pepper(conn: Connection, version: int, *, fingerprint: bytes, at: int) -> bytes:
    """The fingerprint in force: the given one if it is the first of its version, whoever else starts now."""
    row = {"version": version, "fingerprint": fingerprint, "created_at": at}
    conn.execute(upsert(peppers).on_conflict_do_nothing(), row)
    return pepper_fingerprint(conn, version) or fingerprint


def _named(conn: Connection, query: Any, which: str) -> list[KeyRow]:
    exact = _all(conn, query.where(or_(api_keys.c.id == which, api_keys.c.kid == which)))
    return exact or _all(conn, query.where(api_keys.c.name == which))


def _all(conn: Connection, query: Any) -> list[KeyRow]:
    ordered = query.order_by(api_keys.c.created_at, api_keys.c.id)
    return [_row(found) for found in conn.execute(ordered).mappings()]


def _row(found: RowMapping) -> KeyRow:
    return KeyRow(**{name: found[name] for name in _FIELDS})


def _values(row: KeyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _FIELDS}
