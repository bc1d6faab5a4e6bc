"""The gate of the admin API: who is asking, and whether they may.

    cookie ----> session --> person        Bearer ----> admin key --> key        neither --> nobody
    who + action + organization --> Access, or Unauthenticated, Forbidden, NotFound

A credential in a header counts before a cookie. Where somebody is no member, the organization does not exist.
Rights are read at each call, so that a lost role is lost at once: an admin key that was made for a person has at most
that person's. Knows no HTTP beyond the two kinds of credential.
"""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from ingot.errors import Forbidden, Unauthenticated
from ingot.services.accounts.organizations import missing_organization
from ingot.services.accounts.permissions import (
    ANYONE,
    FREE_ACTIONS,
    KEY_ROLE,
    OPERATOR,
    PERSON,
    VERIFIED,
    lesser,
    may,
    needed,
)
from ingot.services.accounts.records import Caller
from ingot.services.accounts.sessions import Sessions
from ingot.store import members, organizations
from ingot.store.accounts import key_owner
from ingot.store.database import Database
from ingot.store.organizations import OrganizationRow
from ingot.store.schema import DEFAULT_ORG


class HasKeyId(Protocol):
    """What a key stands for."""

    @property
    def key_id(self) -> str: ...


class Keys(Protocol):
    """Recognises keys: the key ring."""

    async def authenticate(self, token: bytes, *, address: str | None = None) -> HasKeyId: ...


@dataclass(frozen=True, slots=True)
class Access:
    """An organization that the caller may act on, and as what."""

    organization: OrganizationRow
    role: str


class Gate:
    """Decides about every call of the admin API."""

    def __init__(self, db: Database, *, keys: Keys, sessions: Sessions) -> None:
        self._db = db
        self._keys = keys
        self._sessions = sessions

    async def by_session(self, token: str) -> Caller | None:
        """Who holds this session's token."""
        return await self._sessions.find(token)

    async def by_key(self, token: bytes, *, address: str | None = None) -> Caller:
        """Which admin key this is; raises Unauthenticated, and Forbidden for a key of another scope.

        Failures are counted where the `address` that the key came from is known: too many are RateLimited.
        """
        key_id = (await self._keys.authenticate(token, address=address)).key_id
        owner = await self._db.read(partial(key_owner, key_id=key_id))
        if owner is None or owner.scope != "admin":
            raise Forbidden("This key may call models alone. The admin API takes a key of the scope `admin`.")
        operator = owner.org_id == DEFAULT_ORG and (owner.user_id is None or owner.operator)
        if owner.user_id is not None and not (owner.active and (operator or owner.role is not None)):
            raise Unauthenticated(
                "The account that this admin key belongs to is disabled, not verified, or no member of the organization "
                "any more. Ask an administrator of the organization."
            )
        return Caller("key", actor=key_id, operator=operator, key_org=owner.org_id, key_person=owner.user_id)

    def admit(self, caller: Caller | None, action: str) -> None:
        """Raises where the caller may not do this, whatever organization it is about."""
        if action == ANYONE:
            return
        if caller is None:
            raise Unauthenticated(
                "Log in, or send an admin key as `Authorization: Bearer KEY`.", code="not_signed_in"
            )
        if caller.user is None and action in {PERSON, VERIFIED}:
            raise Forbidden("A key cannot do this; it takes a person who is logged in.")
        if action != PERSON and not caller.verified:
            raise Forbidden(
                "Verify your mail address first: open the link in the mail. POST /admin/v1/auth/verification sends "
                "another.",
                code="email_not_verified",
            )
        if action == OPERATOR and not caller.operator:
            raise Forbidden("Only an operator of this server may do this.")

    async def enter(self, caller: Caller, action: str, *, org_id: str) -> Access:
        """The organization, for a caller who was admitted; raises NotFound for a stranger, Forbidden for a lesser role."""
        organization, role = await self._db.read(partial(_look, org_id=org_id, caller=caller))
        if organization is None or role is None:
            raise missing_organization()
        if not may(role, action):
            raise Forbidden(f"This needs the role {needed(action)}; yours is {role}.")
        return Access(organization, role)


def _look(conn: Connection, org_id: str, caller: Caller) -> tuple[OrganizationRow | None, str | None]:
    return organizations.organization(conn, org_id), _role(conn, org_id, caller)


def _role(conn: Connection, org_id: str, caller: Caller) -> str | None:
    if caller.operator:
        return "owner"
    if caller.user is not None:
        return members.role_of(conn, org_id, user_id=caller.user.id)
    if caller.key_org != org_id:
        return None
    if caller.key_person is None:
        return KEY_ROLE
    role = members.role_of(conn, org_id, user_id=caller.key_person)
    return None if role is None else lesser(role, KEY_ROLE)


def needs_organization(action: str) -> bool:
    """Whether an action is about the organization in the path."""
    return action not in FREE_ACTIONS
