"""The statements about sessions: a row under the SHA-256 of a token that only a browser holds.

Plain functions over a connection. Decides nothing about how long a session lives; never sees a token.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from ingot.store.accounts import UserRow, read_user
from ingot.store.schema import sessions, users

_INSERT = insert(sessions)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session; instants in microseconds. `expires_at` is its absolute end."""

    digest: bytes
    user_id: str
    created_at: int
    seen_at: int
    expires_at: int


def insert_session(conn: Connection, row: SessionRow) -> None:
    """Adds a session."""
    conn.execute(
        _INSERT,
        {
            "digest": row.digest,
            "user_id": row.user_id,
            "created_at": row.created_at,
            "seen_at": row.seen_at,
            "expires_at": row.expires_at,
        },
    )


def live_session(
    conn: Connection, digest: bytes, *, now: int, idle_since: int
) -> tuple[SessionRow, UserRow] | None:
    """The session with its user, unless it is over, idle for too long, or its user is disabled."""
    mine = select(sessions).where(
        sessions.c.digest == digest, sessions.c.expires_at > now, sessions.c.seen_at > idle_since
    )
    found = conn.execute(mine).mappings().first()
    if found is None:
        return None
    owner = conn.execute(select(users).where(users.c.id == found["user_id"])).mappings().one()
    user = read_user(owner)
    if user.disabled_at is not None:
        return None
    session = SessionRow(
        digest=bytes(found["digest"]),
        user_id=found["user_id"],
        created_at=found["created_at"],
        seen_at=found["seen_at"],
        expires_at=found["expires_at"],
    )
    return session, user


def touch_session(conn: Connection, digest: bytes, *, at: int) -> None:
    """Notes that a session is in use."""
    conn.execute(update(sessions).where(sessions.c.digest == digest).values(seen_at=at))


def rename_session(conn: Connection, digest: bytes, *, new: bytes, at: int) -> bool:
    """Puts a session under another digest; the old token is unknown from then on. False where there is none."""
    changed = update(sessions).where(sessions.c.digest == digest).values(digest=new, seen_at=at)
    return conn.execute(changed).rowcount == 1


def end_session(conn: Connection, digest: bytes) -> bool:
    """Ends one session; False where it was over already."""
    return conn.execute(delete(sessions).where(sessions.c.digest == digest)).rowcount == 1


def end_sessions(conn: Connection, user_id: str, *, keep: bytes | None = None) -> int:
    """Ends all sessions of a user but for the one under `keep`; how many."""
    gone = delete(sessions).where(sessions.c.user_id == user_id)
    if keep is not None:
        gone = gone.where(sessions.c.digest != keep)
    return conn.execute(gone).rowcount


def prune_sessions(conn: Connection, *, now: int, idle_since: int) -> int:
    """Deletes sessions that are over; how many."""
    gone = delete(sessions).where((sessions.c.expires_at <= now) | (sessions.c.seen_at <= idle_since))
    return conn.execute(gone).rowcount
