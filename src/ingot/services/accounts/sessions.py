"""Sessions: how one begins, how long it lives, when its token changes.

    open --12 h without a call, or 7 d--> over
      |--privilege change--> the same session under a new token
      |--password change---> all others over

A token is looked up at each call, so that an end holds at once everywhere. Knows no cookie.
"""

from functools import partial

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.services.accounts.records import Caller, RandomBytes, digest_of, new_token, random_bytes
from ingot.store import sessions as store
from ingot.store.accounts import UserRow
from ingot.store.database import Database
from ingot.store.schema import micros
from ingot.store.sessions import SessionRow

IDLE_SECONDS = 12 * 3600
ABSOLUTE_SECONDS = 7 * 86400
TOUCH_SECONDS = 300


class Sessions:
    """The sessions of one database."""

    def __init__(self, db: Database, *, clock: Clock, random: RandomBytes = random_bytes) -> None:
        self._db = db
        self._clock = clock
        self._random = random

    def begin(self, conn: Connection, user_id: str) -> str:
        """Opens a session inside the caller's transaction; its token."""
        token = new_token(self._random)
        now = self._clock.now()
        row = SessionRow(
            digest=digest_of(token),
            user_id=user_id,
            created_at=micros(now),
            seen_at=micros(now),
            expires_at=micros(now + ABSOLUTE_SECONDS),
        )
        store.prune_sessions(conn, now=micros(now), idle_since=micros(now - IDLE_SECONDS))
        store.insert_session(conn, row)
        return token

    def renew(self, conn: Connection, session: bytes) -> str | None:
        """Gives a session a new token, as after every change of what its holder may do; None where it is over."""
        token = new_token(self._random)
        at = micros(self._clock.now())
        return token if store.rename_session(conn, session, new=digest_of(token), at=at) else None

    async def find(self, token: str) -> Caller | None:
        """Who holds this token; None where it stands for nobody or its session is over."""
        digest = digest_of(token)
        now = self._clock.now()
        idle_since = micros(now - IDLE_SECONDS)
        found = await self._db.read(
            partial(store.live_session, digest=digest, now=micros(now), idle_since=idle_since)
        )
        if found is None:
            return None
        session, user = found
        if session.seen_at <= micros(now - TOUCH_SECONDS):
            await self._db.write(partial(store.touch_session, digest=digest, at=micros(now)))
        return person(user, session=digest)


def person(user: UserRow, *, session: bytes | None) -> Caller:
    """A user as a caller; an operator is one only once the address is verified."""
    operator = bool(user.operator) and user.verified_at is not None
    return Caller("person", actor=user.id, operator=operator, user=user, session=session)
