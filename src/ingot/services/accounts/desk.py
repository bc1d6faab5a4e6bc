"""What the operator does at the command line: accounts without mail, organizations by name, members by address.

Every change is in the audit log with `cli` as its actor, and who gains or loses a right is logged out. Decides no
output.
"""

from functools import partial
from typing import Final

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.errors import Conflict, NotFound
from ingot.ids import NewId, new_id
from ingot.services.accounts.passwords import Passwords
from ingot.services.accounts.records import Caller, read_email
from ingot.store import accounts as store
from ingot.store import members, organizations, sessions
from ingot.store.accounts import UserRow
from ingot.store.audit import Detail, note
from ingot.store.database import Database
from ingot.store.members import Membership
from ingot.store.organizations import OrganizationRow
from ingot.store.schema import DEFAULT_ORG, micros

OPERATOR: Final = Caller("key", actor="cli", operator=True, key_org=DEFAULT_ORG)
"""The command line as a caller: who may write the database may do everything."""


class Desk:
    """The operator's hand in the accounts of one database."""

    def __init__(self, db: Database, *, passwords: Passwords, clock: Clock, ids: NewId = new_id) -> None:
        self._db = db
        self._passwords = passwords
        self._clock = clock
        self._ids = ids

    async def create(self, email: str, password: str, *, verified: bool, operator: bool) -> UserRow:
        """A new account; raises Conflict for an address that has one, InvalidRequest."""
        at = micros(self._clock.now())
        row = UserRow(
            id=self._ids("user"),
            email=read_email(email),
            password=await self._passwords.hash(password),
            created_at=at,
            operator=int(operator),
            verified_at=at if verified else None,
        )
        await self._db.write(partial(self._create, row=row))
        return row

    def _create(self, conn: Connection, row: UserRow) -> None:
        if store.user_by_email(conn, row.email) is not None:
            raise Conflict(
                f"{row.email} has an account already. `ingot users password {row.email}` sets its password."
            )
        store.insert_user(conn, row)
        detail = {"verified": row.verified_at is not None, "operator": bool(row.operator)}
        self._note(conn, "user.create", row, detail=detail)

    async def users(self) -> list[UserRow]:
        """All accounts, the oldest first."""
        return await self._db.read(store.list_users)

    async def verify(self, email: str) -> UserRow:
        """Takes an address as proved."""
        return await self._db.write(partial(self._verify, email=email))

    def _verify(self, conn: Connection, email: str) -> UserRow:
        row = self._user(conn, email)
        at = micros(self._clock.now())
        if store.set_verified(conn, row.id, at=at):
            store.void_links(conn, row.id, purpose="verify", at=at)
            sessions.end_sessions(conn, row.id)
            self._note(conn, "user.verify", row)
        return self._user(conn, email)

    async def set_password(self, email: str, password: str) -> UserRow:
        """Sets a password and ends every session."""
        hashed = await self._passwords.hash(password)
        return await self._db.write(partial(self._set_password, email=email, hashed=hashed))

    def _set_password(self, conn: Connection, email: str, hashed: str) -> UserRow:
        row = self._user(conn, email)
        store.set_password(conn, row.id, password=hashed)
        store.void_links(conn, row.id, purpose="reset", at=micros(self._clock.now()))
        sessions.end_sessions(conn, row.id)
        self._note(conn, "session.password", row)
        return row

    async def set_operator(self, email: str, *, operator: bool) -> UserRow:
        """Lets somebody act on every organization, or no more."""
        return await self._db.write(partial(self._set_operator, email=email, operator=operator))

    def _set_operator(self, conn: Connection, email: str, *, operator: bool) -> UserRow:
        row = self._user(conn, email)
        if bool(row.operator) != operator:
            store.set_operator(conn, row.id, operator=operator)
            sessions.end_sessions(conn, row.id)
            self._note(conn, "user.operator", row, detail={"operator": operator})
        return self._user(conn, email)

    async def set_disabled(self, email: str, *, disabled: bool) -> UserRow:
        """Locks somebody out, or lets them in again."""
        return await self._db.write(partial(self._set_disabled, email=email, disabled=disabled))

    def _set_disabled(self, conn: Connection, email: str, *, disabled: bool) -> UserRow:
        row = self._user(conn, email)
        if (row.disabled_at is not None) != disabled:
            store.set_disabled(conn, row.id, at=micros(self._clock.now()) if disabled else None)
            sessions.end_sessions(conn, row.id)
            self._note(conn, "user.disable" if disabled else "user.enable", row)
        return self._user(conn, email)

    async def user(self, email: str) -> UserRow:
        """The account with this address. Raises NotFound."""
        return await self._db.read(partial(self._user, email=email, lock=False))

    async def memberships(self, user_id: str) -> list[Membership]:
        """Where somebody is a member."""
        return await self._db.read(partial(members.memberships, user_id=user_id))

    async def organization(self, which: str) -> OrganizationRow:
        """The organization with this id or name. Raises NotFound, and Conflict where several have the name."""
        return await self._db.read(partial(organizations.sole_organization, which=which))

    async def organizations(self, *, deleted: bool) -> list[OrganizationRow]:
        """All organizations; deleted ones where asked for."""
        read = partial(organizations.list_organizations, deleted=deleted, limit=1_000_000)
        return await self._db.read(read)

    def _user(self, conn: Connection, email: str, *, lock: bool = True) -> UserRow:
        row = store.user_by_email(conn, read_email(email), lock=lock)
        if row is None:
            raise NotFound(f"Nobody here has the address {email}. `ingot users list` shows who is there.")
        return row

    def _note(self, conn: Connection, action: str, row: UserRow, *, detail: Detail | None = None) -> None:
        at = micros(self._clock.now())
        note(conn, None, actor=OPERATOR.actor, action=action, subject=row.id, at=at, detail=detail)
