"""The statements about plans, and about which plan an organization is on.

Plain functions over a connection; who calls decides about transactions. A plan's row is what counts: a change
of it holds for every organization on it as soon as their keys are looked up again.
"""

from dataclasses import dataclass, fields

from sqlalchemy import Connection, insert, select, update

from ingot.store.schema import organizations, plans


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan as it is stored; None is no limit, `models` a JSON array, money in 1e-12 USD, instants in microseconds."""

    id: str
    name: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    keys: int | None
    models: str | None
    price_factor: int  # parts per million of the deployment's price
    weight: int
    monthly_credits: int
    monthly_price: int
    created_at: int
    archived_at: int | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """An organization and the plan that it is on."""

    org_id: str
    plan: PlanRow
    deleted_at: int | None


_FIELDS = tuple(field.name for field in fields(PlanRow))
PLAN_COLUMNS = tuple(plans.c[name] for name in _FIELDS)
"""What makes a PlanRow, in its order, for statements that join plans."""


def list_plans(conn: Connection) -> list[PlanRow]:
    """All plans, archived ones included, by name."""
    return [PlanRow(*found) for found in conn.execute(select(*PLAN_COLUMNS).order_by(plans.c.name))]


def plan_named(conn: Connection, which: str) -> PlanRow | None:
    """The plan with this name or id."""
    query = select(*PLAN_COLUMNS).where((plans.c.name == which) | (plans.c.id == which))
    found = conn.execute(query).first()
    return None if found is None else PlanRow(*found)


def plan_of(conn: Connection, org_id: str) -> PlanRow | None:
    """The plan that an organization is on, unless that was deleted."""
    query = (
        select(*PLAN_COLUMNS)
        .join(organizations, organizations.c.plan_id == plans.c.id)
        .where(organizations.c.id == org_id, organizations.c.deleted_at.is_(None))
    )
    found = conn.execute(query).first()
    return None if found is None else PlanRow(*found)


def lock_plan(conn: Connection, plan_id: str) -> None:
    """Lets nobody else change this plan before the transaction ends."""
    conn.execute(select(plans.c.id).where(plans.c.id == plan_id).with_for_update(key_share=True))


def insert_plan(conn: Connection, row: PlanRow) -> None:
    """Adds a plan; raises StoreConflict (through the database) where the name is taken."""
    conn.execute(insert(plans), {name: getattr(row, name) for name in _FIELDS})


def update_plan(conn: Connection, row: PlanRow) -> None:
    """Puts this row in place of the one with its id."""
    values = {name: getattr(row, name) for name in _FIELDS if name != "id"}
    conn.execute(update(plans).where(plans.c.id == row.id).values(values))


def lock_org(conn: Connection, org_id: str) -> Membership | None:
    """The organization with its plan; nobody else changes its keys or its plan before the transaction ends.

    Two statements, so that the plan is read after the wait for the lock.
    """
    conn.execute(
        select(organizations.c.id).where(organizations.c.id == org_id).with_for_update(key_share=True)
    )
    query = (
        select(organizations.c.id, organizations.c.deleted_at, *PLAN_COLUMNS)
        .join(plans, plans.c.id == organizations.c.plan_id)
        .where(organizations.c.id == org_id)
    )
    found = conn.execute(query).first()
    if found is None:
        return None
    return Membership(found[0], PlanRow(*found[2:]), found[1])


def assign_plan(conn: Connection, org_id: str, *, plan_id: str) -> None:
    """Puts an organization on a plan."""
    conn.execute(update(organizations).where(organizations.c.id == org_id).values(plan_id=plan_id))
