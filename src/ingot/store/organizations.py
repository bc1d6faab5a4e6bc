"""The statements about organizations: settings, plan, and what a deletion takes along.

Plain functions over a connection, the organization's id first. A deleted organization stays as a row, as its
ledger does; its keys, slots, retries and the content of its stored responses do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, select, tuple_, update

from ingot.errors import Conflict, NotFound
from ingot.store.idempotency import erase
from ingot.store.queue import cancel_organization
from ingot.store.schema import (
    api_keys,
    balances,
    invitations,
    members,
    organizations,
    plans,
    slots,
    subscriptions,
)


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """An organization with the name of its plan; instants in microseconds."""

    id: str
    name: str
    plan: str
    prepaid: bool
    keep_content: bool
    retention_days: int | None
    created_at: int
    deleted_at: int | None = None


def insert_organization(conn: Connection, row: OrganizationRow, *, plan_id: str) -> None:
    """Adds an organization and its balance."""
    values = {
        "id": row.id,
        "name": row.name,
        "plan_id": plan_id,
        "prepaid": int(row.prepaid),
        "keep_content": int(row.keep_content),
        "retention_days": row.retention_days,
        "created_at": row.created_at,
    }
    conn.execute(insert(organizations), values)
    conn.execute(insert(balances), {"org_id": row.id})


def organization(conn: Connection, org_id: str, *, lock: bool = False) -> OrganizationRow | None:
    """The organization, unless it was deleted; `lock` makes others who lock it wait until the commit."""
    if lock:
        conn.execute(select(organizations.c.id).where(organizations.c.id == org_id).with_for_update())
    query = _select().where(organizations.c.id == org_id, organizations.c.deleted_at.is_(None))
    found = conn.execute(query).mappings().first()
    return None if found is None else _row(found)


def list_organizations(
    conn: Connection, *, after: str | None = None, limit: int = 1000, deleted: bool = False
) -> list[OrganizationRow]:
    """All organizations, the oldest first, those behind the one with the id `after`; deleted ones only where asked for."""
    order = (organizations.c.created_at, organizations.c.id)
    query = _select().order_by(*order).limit(limit)
    if after is not None:
        behind = select(*order).where(organizations.c.id == after)
        query = query.where(tuple_(*order) > behind.scalar_subquery())
    if not deleted:
        query = query.where(organizations.c.deleted_at.is_(None))
    return [_row(found) for found in conn.execute(query).mappings()]


def known(conn: Connection, org_id: str) -> bool:
    """Whether there is an organization with this id, or was before it was deleted."""
    return conn.execute(select(organizations.c.id).where(organizations.c.id == org_id)).first() is not None


def organizations_named(conn: Connection, which: str) -> list[OrganizationRow]:
    """The organization with this id; where there is none, all that have this name and are not deleted."""
    exact = organization(conn, which)
    if exact is not None:
        return [exact]
    query = _select().where(organizations.c.name == which, organizations.c.deleted_at.is_(None))
    return [_row(found) for found in conn.execute(query.order_by(organizations.c.id)).mappings()]


def sole_organization(conn: Connection, which: str, *, deleted: bool = False) -> OrganizationRow:
    """The organization with this id or name, and where `deleted` a deleted one by its id; raises NotFound, Conflict."""
    gone = _select().where(organizations.c.id == which) if deleted else None
    exact = None if gone is None else conn.execute(gone).mappings().first()
    found = organizations_named(conn, which) if exact is None else [_row(exact)]
    if not found:
        raise NotFound(
            f"There is no organization with the id or name {which!r}. `ingot orgs list` shows them all."
        )
    if len(found) > 1:
        names = ", ".join(row.id for row in found)
        raise Conflict(
            f"{len(found)} organizations are named {which!r}. Name the one you mean by its id: {names}."
        )
    return found[0]


def change_organization(conn: Connection, org_id: str, *, values: Mapping[str, Any]) -> None:
    """Sets columns of an organization."""
    conn.execute(update(organizations).where(organizations.c.id == org_id).values(dict(values)))


def plan_id(conn: Connection, name: str) -> str | None:
    """The id of the plan with this name, unless it was archived."""
    query = select(plans.c.id).where(plans.c.name == name, plans.c.archived_at.is_(None))
    found: str | None = conn.execute(query).scalar()
    return found


def plan_names(conn: Connection) -> list[str]:
    """The names of the plans that can be chosen."""
    query = select(plans.c.name).where(plans.c.archived_at.is_(None)).order_by(plans.c.name)
    return list(conn.execute(query).scalars())


def owned_on_plan(conn: Connection, user_id: str, *, plan: str, since: int) -> int:
    """How many organizations a user owns on a plan, those deleted after `since` included."""
    query = (
        select(func.count())
        .select_from(members.join(organizations, organizations.c.id == members.c.org_id))
        .where(members.c.user_id == user_id, members.c.role == "owner", organizations.c.plan_id == plan)
        .where(organizations.c.deleted_at.is_(None) | (organizations.c.deleted_at > since))
    )
    return int(conn.execute(query).scalar_one())


def delete_organization(conn: Connection, org_id: str, *, at: int) -> bool:
    """Ends an organization: keys stop, its subscription ends, retries and invitations are void. False where it was
    ended already.

    Its memberships stay: they tell who owned it. What it kept goes by `erasure`. A retry key whose
    request still runs stays until that is settled, which charges for it and keeps no answer.
    """
    ended = update(organizations).where(organizations.c.id == org_id, organizations.c.deleted_at.is_(None))
    if conn.execute(ended.values(deleted_at=at)).rowcount != 1:
        return False
    live = update(api_keys).where(api_keys.c.org_id == org_id, api_keys.c.revoked_at.is_(None))
    conn.execute(live.values(revoked_at=at))
    subscribed = update(subscriptions).where(
        subscriptions.c.org_id == org_id, subscriptions.c.ended_at.is_(None)
    )
    conn.execute(subscribed.values(ended_at=at))
    conn.execute(delete(slots).where(slots.c.org_id == org_id))
    erase(conn, org_id)
    cancel_organization(conn, org_id, at=at)
    waiting = update(invitations).where(
        invitations.c.org_id == org_id,
        invitations.c.accepted_at.is_(None),
        invitations.c.revoked_at.is_(None),
    )
    conn.execute(waiting.values(revoked_at=at))
    return True


def _select() -> Select[Any]:
    return select(organizations, plans.c.name.label("plan")).join(
        plans, plans.c.id == organizations.c.plan_id
    )


def _row(found: RowMapping) -> OrganizationRow:
    return OrganizationRow(
        id=found["id"],
        name=found["name"],
        plan=found["plan"],
        prepaid=bool(found["prepaid"]),
        keep_content=bool(found["keep_content"]),
        retention_days=found["retention_days"],
        created_at=found["created_at"],
        deleted_at=found["deleted_at"],
    )
