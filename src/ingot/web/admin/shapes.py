"""The objects that several routes of the admin API show; instants in seconds since the epoch, as everywhere in the API."""

from typing import Annotated

from msgspec import Meta, Struct

from ingot.store.accounts import UserRow
from ingot.store.members import Membership, Role
from ingot.store.organizations import OrganizationRow
from ingot.store.schema import seconds, seconds_or_none

Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]
"""An instant, up to the end of the year 9999: no calendar here goes further."""


class User(Struct, frozen=True):
    """A person."""

    id: str
    email: str
    verified: bool
    operator: bool
    created_at: int
    last_login_at: int | None
    object: str = "user"


class OrganizationRole(Struct, frozen=True):
    """An organization in the list of a person's own."""

    id: str
    name: str
    role: Role


class Organization(Struct, frozen=True):
    """An organization; `retention_days` null means the server's."""

    id: str
    name: str
    plan: str
    prepaid: bool
    keep_content: bool
    retention_days: int | None
    created_at: int
    object: str = "organization"


def show_user(row: UserRow) -> User:
    """A user as the API tells of them."""
    return User(
        id=row.id,
        email=row.email,
        verified=row.verified_at is not None,
        operator=bool(row.operator),
        created_at=seconds(row.created_at),
        last_login_at=seconds_or_none(row.last_login_at),
    )


def show_membership(row: Membership) -> OrganizationRole:
    """A membership as its holder sees it."""
    return OrganizationRole(id=row.org_id, name=row.name, role=row.role)


def show_organization(row: OrganizationRow) -> Organization:
    """An organization as its members see it."""
    return Organization(
        id=row.id,
        name=row.name,
        plan=row.plan,
        prepaid=row.prepaid,
        keep_content=row.keep_content,
        retention_days=row.retention_days,
        created_at=seconds(row.created_at),
    )
