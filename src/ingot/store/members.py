"""The statements about memberships and invitations, the organization's id first: a foreign id finds nothing.

Plain functions over a connection. Roles are data to them; what a role may do is decided above.
"""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, insert, select, update

from ingot.store.schema import invitations, members, organizations, users

Role = Literal["owner", "admin", "member", "viewer"]


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A person in an organization; instants in microseconds."""

    org_id: str
    user_id: str
    email: str
    role: Role
    created_at: int


@dataclass(frozen=True, slots=True)
class Membership:
    """An organization as one of its members sees it in a list."""

    org_id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation; the token in its mail is known by its SHA-256 alone."""

    id: str
    org_id: str
    email: str
    role: Role
    digest: bytes
    invited_by: str
    created_at: int
    expires_at: int
    accepted_at: int | None = None
    revoked_at: int | None = None


def insert_member(conn: Connection, org_id: str, *, user_id: str, role: Role, at: int) -> None:
    """Adds a member; raises StoreConflict (through the database) for one who is a member already."""
    conn.execute(insert(members), {"org_id": org_id, "user_id": user_id, "role": role, "created_at": at})


def role_of(conn: Connection, org_id: str, *, user_id: str) -> Role | None:
    """What a person is in an organization."""
    query = select(members.c.role).where(members.c.org_id == org_id, members.c.user_id == user_id)
    found: Role | None = conn.execute(query).scalar()
    return found


def list_members(conn: Connection, org_id: str) -> list[MemberRow]:
    """The members, the oldest membership first."""
    query = (
        select(members, users.c.email)
        .join(users, users.c.id == members.c.user_id)
        .where(members.c.org_id == org_id)
        .order_by(members.c.created_at, members.c.user_id)
    )
    return [
        MemberRow(
            org_id=found["org_id"],
            user_id=found["user_id"],
            email=found["email"],
            role=found["role"],
            created_at=found["created_at"],
        )
        for found in conn.execute(query).mappings()
    ]


def memberships(conn: Connection, user_id: str) -> list[Membership]:
    """The organizations of a person that are not deleted, in the order of their names."""
    query = (
        select(organizations.c.id, organizations.c.name, members.c.role)
        .join(members, members.c.org_id == organizations.c.id)
        .where(members.c.user_id == user_id, organizations.c.deleted_at.is_(None))
        .order_by(organizations.c.name, organizations.c.id)
    )
    return [Membership(org_id=found.id, name=found.name, role=found.role) for found in conn.execute(query)]


def count_owners(conn: Connection, org_id: str) -> int:
    """How many owners an organization has."""
    query = select(func.count()).where(members.c.org_id == org_id, members.c.role == "owner")
    return int(conn.execute(query).scalar_one())


def set_role(conn: Connection, org_id: str, *, user_id: str, role: Role) -> bool:
    """Changes a role; False where there is no such member."""
    changed = update(members).where(members.c.org_id == org_id, members.c.user_id == user_id)
    return conn.execute(changed.values(role=role)).rowcount == 1


def delete_member(conn: Connection, org_id: str, *, user_id: str) -> bool:
    """Ends a membership; False where there was none."""
    gone = delete(members).where(members.c.org_id == org_id, members.c.user_id == user_id)
    return conn.execute(gone).rowcount == 1


def insert_invitation(conn: Connection, org_id: str, *, row: InvitationRow) -> None:
    """Adds an invitation to `org_id`."""
    conn.execute(
        insert(invitations),
        {
            "id": row.id,
            "org_id": org_id,
            "email": row.email,
            "role": row.role,
            "digest": row.digest,
            "invited_by": row.invited_by,
            "created_at": row.created_at,
            "expires_at": row.expires_at,
        },
    )


def list_invitations(conn: Connection, org_id: str, *, now: int) -> list[InvitationRow]:
    """The invitations that can still be accepted, the oldest first."""
    query = (
        select(invitations)
        .where(invitations.c.org_id == org_id, *_open(now))
        .order_by(invitations.c.created_at, invitations.c.id)
    )
    return [_invitation(found) for found in conn.execute(query).mappings()]


def recent_invitations(conn: Connection, org_id: str, *, since: int, email: str | None = None) -> int:
    """How many invitations an organization made after an instant, to one address or to all."""
    query = select(func.count()).where(invitations.c.org_id == org_id, invitations.c.created_at > since)
    if email is not None:
        query = query.where(invitations.c.email == email)
    return int(conn.execute(query).scalar_one())


def revoke_invitation(conn: Connection, org_id: str, *, invitation_id: str, at: int) -> bool:
    """Takes an invitation back; False where the organization has no open one with this id."""
    changed = update(invitations).where(
        invitations.c.org_id == org_id, invitations.c.id == invitation_id, *_open(at)
    )
    return conn.execute(changed.values(revoked_at=at)).rowcount == 1


def revoke_invitations_to(conn: Connection, org_id: str, *, email: str, at: int) -> None:
    """Takes back what an address was sent before: the newest invitation counts."""
    changed = update(invitations).where(
        invitations.c.org_id == org_id, invitations.c.email == email, *_open(at)
    )
    conn.execute(changed.values(revoked_at=at))


def invitation_by_digest(conn: Connection, digest: bytes, *, now: int) -> InvitationRow | None:
    """The open invitation whose mail carried this token; its holder belongs to no organization yet."""
    query = (
        select(invitations)
        .join(organizations, organizations.c.id == invitations.c.org_id)
        .where(invitations.c.digest == digest, organizations.c.deleted_at.is_(None), *_open(now))
    )
    found = conn.execute(query).mappings().first()
    return None if found is None else _invitation(found)


def use_invitation(conn: Connection, org_id: str, *, invitation_id: str, at: int) -> bool:
    """Uses an invitation up: of two who try at once one gets True."""
    changed = update(invitations).where(
        invitations.c.org_id == org_id, invitations.c.id == invitation_id, *_open(at)
    )
    return conn.execute(changed.values(accepted_at=at)).rowcount == 1


def remint_invitation(conn: Connection, org_id: str, *, digest: bytes, new: bytes, now: int) -> bool:
    """Gives an invitation that still stands another token; False where it is void."""
    changed = update(invitations).where(
        invitations.c.org_id == org_id, invitations.c.digest == digest, *_open(now)
    )
    return conn.execute(changed.values(digest=new)).rowcount == 1


def _open(now: int) -> tuple[ColumnElement[bool], ...]:
    return (
        invitations.c.accepted_at.is_(None),
        invitations.c.revoked_at.is_(None),
        invitations.c.expires_at > now,
    )


def _invitation(found: RowMapping) -> InvitationRow:
    return InvitationRow(
        id=found["id"],
        org_id=found["org_id"],
        email=found["email"],
        role=found["role"],
        digest=bytes(found["digest"]),
        invited_by=found["invited_by"],
        created_at=found["created_at"],
        expires_at=found["expires_at"],
        accepted_at=found["accepted_at"],
        revoked_at=found["revoked_at"],
    )
