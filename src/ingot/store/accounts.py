"""The statements about users and about the links that mails carry to them.

Plain functions over a connection; who calls decides about transactions. A password comes here as its argon2id
hash, a link's token as its SHA-256. A user is nobody's property: rights come from memberships (`members`).
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, and_, func, insert, select, update

from ingot.store.schema import api_keys, links, members, users

Purpose = Literal["verify", "reset"]


@dataclass(frozen=True, slots=True)
class UserRow:
    """A person; instants in microseconds. `operator` is 1 for who runs this server."""

    id: str
    email: str
    password: str | None
    created_at: int
    operator: int = 0
    verified_at: int | None = None
    last_login_at: int | None = None
    disabled_at: int | None = None


_FIELDS = tuple(field.name for field in fields(UserRow))


def read_user(found: RowMapping) -> UserRow:
    """A row of the table as a record."""
    return UserRow(**{name: found[name] for name in _FIELDS})


def insert_user(conn: Connection, row: UserRow) -> None:
    """Adds a user; raises StoreConflict (through the database) where the mail address is taken."""
    conn.execute(insert(users), {name: getattr(row, name) for name in _FIELDS})


def user_by_email(conn: Connection, email: str, *, lock: bool = False) -> UserRow | None:
    """The user with this address, which is in lower case; `lock` keeps others from changing the row meanwhile."""
    query = select(users).where(users.c.email == email)
    found = conn.execute(query.with_for_update() if lock else query).mappings().first()
    return None if found is None else read_user(found)


def user_by_id(conn: Connection, user_id: str, *, lock: bool = False) -> UserRow | None:
    """The user with this id."""
    query = select(users).where(users.c.id == user_id)
    found = conn.execute(query.with_for_update() if lock else query).mappings().first()
    return None if found is None else read_user(found)


def list_users(conn: Connection) -> list[UserRow]:
    """All users, the oldest first."""
    query = select(users).order_by(users.c.created_at, users.c.id)
    return [read_user(found) for found in conn.execute(query).mappings()]


def set_password(conn: Connection, user_id: str, *, password: str) -> None:
    """Puts a new hash in the place of the old one."""
    conn.execute(update(users).where(users.c.id == user_id).values(password=password))


def set_verified(conn: Connection, user_id: str, *, at: int) -> bool:
    """Notes that the address is the user's own; False where that was known."""
    changed = update(users).where(users.c.id == user_id, users.c.verified_at.is_(None))
    return conn.execute(changed.values(verified_at=at)).rowcount == 1


def set_operator(conn: Connection, user_id: str, *, operator: bool) -> None:
    """Lets a user act on every organization, or no more."""
    conn.execute(update(users).where(users.c.id == user_id).values(operator=int(operator)))


def set_disabled(conn: Connection, user_id: str, *, at: int | None) -> None:
    """Locks a user out from an instant on; None lets them in again."""
    conn.execute(update(users).where(users.c.id == user_id).values(disabled_at=at))


def note_login(conn: Connection, user_id: str, *, at: int) -> None:
    """Notes when a user came in."""
    conn.execute(update(users).where(users.c.id == user_id).values(last_login_at=at))


def insert_link(
    conn: Connection, user_id: str, *, purpose: Purpose, digest: bytes, at: int, expires: int
) -> None:
    """Adds a link; nobody holds its token until a mail is written (`remint_link`)."""
    row = {"digest": digest, "user_id": user_id, "purpose": purpose, "created_at": at, "expires_at": expires}
    conn.execute(insert(links), row)


def remint_link(conn: Connection, digest: bytes, *, new: bytes, now: int) -> bool:
    """Gives a link that still stands another token; False where it was used, or is void or over."""
    changed = update(links).where(
        links.c.digest == digest, links.c.used_at.is_(None), links.c.expires_at > now
    )
    return conn.execute(changed.values(digest=new)).rowcount == 1


def link_owner(conn: Connection, digest: bytes, *, purpose: Purpose, now: int) -> UserRow | None:
    """Whose link this is, while it is good for this purpose; nothing is used up."""
    query = (
        select(users)
        .join(links, links.c.user_id == users.c.id)
        .where(links.c.digest == digest, links.c.purpose == purpose)
        .where(links.c.used_at.is_(None), links.c.expires_at > now)
    )
    found = conn.execute(query).mappings().first()
    return None if found is None else read_user(found)


def use_link(conn: Connection, digest: bytes, *, purpose: Purpose, now: int) -> bool:
    """Uses a link up: of two who try at once one gets True."""
    changed = (
        update(links)
        .where(links.c.digest == digest, links.c.purpose == purpose)
        .where(links.c.used_at.is_(None), links.c.expires_at > now)
    )
    return conn.execute(changed.values(used_at=now)).rowcount == 1


def void_links(conn: Connection, user_id: str, *, purpose: Purpose, at: int) -> None:
    """Ends all links of a purpose that the user has not used."""
    changed = update(links).where(
        links.c.user_id == user_id, links.c.purpose == purpose, links.c.used_at.is_(None)
    )
    conn.execute(changed.values(used_at=at))


def recent_links(conn: Connection, user_id: str, *, purpose: Purpose, since: int) -> int:
    """How many links of a purpose were made for a user after an instant."""
    query = select(func.count()).where(
        links.c.user_id == user_id, links.c.purpose == purpose, links.c.created_at > since
    )
    return int(conn.execute(query).scalar_one())


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """What the admin API asks of a key: whose it is, what it may call, and what its person is now, where it has one."""

    org_id: str
    scope: str
    user_id: str | None
    active: bool  # the person's account is verified and not disabled
    operator: bool
    role: str | None  # of the person in the organization


def key_owner(conn: Connection, key_id: str) -> KeyOwner | None:
    """The organization and the scope of a key, and its person's rights."""
    membership = and_(members.c.org_id == api_keys.c.org_id, members.c.user_id == api_keys.c.user_id)
    query: Any = (
        select(
            api_keys.c.org_id,
            api_keys.c.scope,
            api_keys.c.user_id,
            users.c.verified_at,
            users.c.disabled_at,
            users.c.operator,
            members.c.role,
        )
        .outerjoin(users, users.c.id == api_keys.c.user_id)
        .outerjoin(members, membership)
        .where(api_keys.c.id == key_id)
    )
    found = conn.execute(query).first()
    if found is None:
        return None
    return KeyOwner(
        org_id=found.org_id,
        scope=found.scope,
        user_id=found.user_id,
        active=found.verified_at is not None and found.disabled_at is None,
        operator=bool(found.operator),
        role=found.role,
    )
