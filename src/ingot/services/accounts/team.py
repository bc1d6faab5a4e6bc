"""Who belongs to an organization: roles, invitations, and the owner who must remain.

    invite --mail--> accept, signed in with the invited address      --> member
                     sign up with the token, also while sign-up is closed --> account, verified, and member

The newest invitation to an address counts, and an invitation is good for seven days. Whose role changes signs in
again. Knows no HTTP; that the caller may act at all was decided before (`gate`), which roles they may give is here.
"""

from functools import partial

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.errors import Conflict, Forbidden, InvalidRequest, NotFound, RateLimited
from ingot.ids import NewId
from ingot.services.accounts.letters import HOUR, INVITATION_SECONDS, MAILS_AN_HOUR, Letters
from ingot.services.accounts.organizations import missing_organization
from ingot.services.accounts.passwords import Passwords, check_password
from ingot.services.accounts.people import SignedIn
from ingot.services.accounts.permissions import may_assign
from ingot.services.accounts.records import Caller, digest_of, read_email
from ingot.services.accounts.sessions import Sessions
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.store import accounts, organizations
from ingot.store import members as store
from ingot.store import sessions as session_store
from ingot.store.accounts import UserRow
from ingot.store.audit import Detail, note
from ingot.store.database import Database
from ingot.store.members import InvitationRow, MemberRow, Role
from ingot.store.schema import micros

INVITATIONS_AN_HOUR = 50
"""Of one organization: mail to strangers bears this server's name."""


class Team:
    """Members and invitations of every organization."""

    def __init__(
        self,
        db: Database,
        *,
        sessions: Sessions,
        passwords: Passwords,
        letters: Letters,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._passwords = passwords
        self._letters = letters
        self._clock = clock
        self._new_id = new_id

    # ---- members

    async def members(self, org_id: str) -> list[MemberRow]:
        """The members of an organization."""
        return await self._db.read(partial(store.list_members, org_id=org_id))

    async def set_role(
        self, org_id: str, *, user_id: str, role: Role, caller: Caller, acting: str
    ) -> MemberRow:
        """Changes a role; `acting` is the caller's own. Raises NotFound, Forbidden, Conflict."""
        work = partial(
            self._set_role, org_id=org_id, user_id=user_id, role=role, caller=caller, acting=acting
        )
        return await self._db.write(work)

    def _set_role(
        self, conn: Connection, org_id: str, user_id: str, role: Role, caller: Caller, acting: str
    ) -> MemberRow:
        old = self._lock_member(conn, org_id, user_id=user_id)
        if not may_assign(acting, new=role, old=old):
            raise Forbidden("Only an owner makes somebody an owner or changes an owner's role.")
        if old != role:
            if old == "owner":
                self._keep_an_owner(conn, org_id)
            store.set_role(conn, org_id, user_id=user_id, role=role)
            session_store.end_sessions(conn, user_id, keep=caller.session)
            detail = {"from": old, "to": role}
            self._note(conn, org_id, caller=caller, action="member.role", subject=user_id, detail=detail)
        return next(each for each in store.list_members(conn, org_id) if each.user_id == user_id)

    async def remove(
        self, org_id: str, *, user_id: str, caller: Caller, acting: str, keep: Keep[None] = keep_nothing
    ) -> None:
        """Ends a membership, the caller's own included. Raises NotFound, Forbidden, Conflict."""
        work = partial(self._remove, org_id=org_id, user_id=user_id, caller=caller, acting=acting)
        await self._db.write(kept(work, keep))

    def _remove(self, conn: Connection, org_id: str, user_id: str, caller: Caller, acting: str) -> None:
        old = self._lock_member(conn, org_id, user_id=user_id)
        if old == "owner":
            if acting != "owner":
                raise Forbidden("Only an owner removes an owner.")
            self._keep_an_owner(conn, org_id)
        store.delete_member(conn, org_id, user_id=user_id)
        detail = {"role": old}
        self._note(conn, org_id, caller=caller, action="member.remove", subject=user_id, detail=detail)

    async def add(self, org_id: str, *, email: str, role: Role, caller: Caller) -> MemberRow:
        """Makes somebody who has an account a member, without asking them: the operator's way."""
        return await self._db.write(
            partial(self._add, org_id=org_id, email=read_email(email), role=role, caller=caller)
        )

    def _add(self, conn: Connection, org_id: str, email: str, role: Role, caller: Caller) -> MemberRow:
        self._lock(conn, org_id)
        user = accounts.user_by_email(conn, email)
        if user is None:
            raise NotFound(f"Nobody here has the address {email}. Create the account first.")
        if store.role_of(conn, org_id, user_id=user.id) is not None:
            raise _member_already(email)
        at = micros(self._clock.now())
        store.insert_member(conn, org_id, user_id=user.id, role=role, at=at)
        session_store.end_sessions(conn, user.id)
        self._note(conn, org_id, caller=caller, action="member.add", subject=user.id, detail={"role": role})
        return MemberRow(org_id=org_id, user_id=user.id, email=email, role=role, created_at=at)

    # ---- invitations

    async def invitations(self, org_id: str) -> list[InvitationRow]:
        """The open invitations of an organization."""
        now = micros(self._clock.now())
        return await self._db.read(partial(store.list_invitations, org_id=org_id, now=now))

    async def invite(
        self,
        org_id: str,
        *,
        email: str,
        role: Role,
        caller: Caller,
        acting: str,
        keep: Keep[InvitationRow] = keep_nothing,
    ) -> InvitationRow:
        """Mails an invitation. Raises Forbidden, Conflict for a member, RateLimited."""
        if not may_assign(acting, new=role, old=None):
            raise Forbidden("Only an owner invites an owner.")
        work = partial(self._invite, org_id=org_id, email=read_email(email), role=role, caller=caller)
        return await self._db.write(kept(work, keep))

    def _invite(self, conn: Connection, org_id: str, email: str, role: Role, caller: Caller) -> InvitationRow:
        organization = self._lock(conn, org_id)
        now = self._clock.now()
        user = accounts.user_by_email(conn, email)
        if user is not None and store.role_of(conn, org_id, user_id=user.id) is not None:
            raise _member_already(email)
        since = micros(now - HOUR)
        if (
            store.recent_invitations(conn, org_id, since=since, email=email) >= MAILS_AN_HOUR
            or store.recent_invitations(conn, org_id, since=since) >= INVITATIONS_AN_HOUR
        ):
            raise RateLimited(
                f"An address is invited {MAILS_AN_HOUR} times an hour at most, and an organization invites "
                f"{INVITATIONS_AN_HOUR} times an hour. Wait an hour.",
                retry_after=float(HOUR),
                code="too_many_tries",
            )
        store.revoke_invitations_to(conn, org_id, email=email, at=micros(now))
        row = InvitationRow(
            id=self._new_id("inv"),
            org_id=org_id,
            email=email,
            role=role,
            digest=self._letters.blank(),
            invited_by=caller.actor,
            created_at=micros(now),
            expires_at=micros(now + INVITATION_SECONDS),
        )
        store.insert_invitation(conn, org_id, row=row)
        inviter = "The operator" if caller.user is None else caller.user.email
        payload = {
            "letter": "invitation",
            "link": row.digest.hex(),
            "organization": organization.name,
            "inviter": inviter,
            "role": role,
        }
        self._letters.send(conn, org_id, email=email, payload=payload)
        detail = {"email": email, "role": role}
        self._note(conn, org_id, caller=caller, action="invitation.create", subject=row.id, detail=detail)
        return row

    async def revoke(self, org_id: str, *, invitation_id: str, caller: Caller) -> None:
        """Takes an invitation back. Raises NotFound."""
        work = partial(self._revoke, org_id=org_id, invitation_id=invitation_id, caller=caller)
        await self._db.write(work)

    def _revoke(self, conn: Connection, org_id: str, invitation_id: str, caller: Caller) -> None:
        at = micros(self._clock.now())
        if not store.revoke_invitation(conn, org_id, invitation_id=invitation_id, at=at):
            raise NotFound("The organization has no open invitation with this id.")
        self._note(conn, org_id, caller=caller, action="invitation.revoke", subject=invitation_id)

    async def accept(
        self, token: str, *, caller: Caller, keep: Keep[tuple[InvitationRow, str | None]] = keep_nothing
    ) -> tuple[InvitationRow, str | None]:
        """Makes the caller a member, and the new token of their session. Raises InvalidRequest, Forbidden, Conflict."""
        return await self._db.write(kept(partial(self._accept, token=token, caller=caller), keep))

    def _accept(self, conn: Connection, token: str, caller: Caller) -> tuple[InvitationRow, str | None]:
        user = caller.user
        row = self._open_invitation(conn, token)
        if user is None or user.email != row.email:
            raise Forbidden(
                "The invitation was sent to another address than this account's. Log in with the account that it was "
                "sent to, or sign up with it.",
                code="invitation_for_another",
            )
        self._join(conn, row, user=user)
        return row, None if caller.session is None else self._sessions.renew(conn, caller.session)

    async def sign_up(self, token: str, *, email: str, password: str) -> SignedIn:
        """Creates an account for who was invited, verified and a member at once. Raises InvalidRequest, Conflict."""
        check_password(password)
        email = read_email(email)
        await self._db.read(partial(self._open_invitation, token=token))  # before the costly hash
        hashed = await self._passwords.hash(password)
        return await self._db.write(partial(self._sign_up, token=token, email=email, hashed=hashed))

    def _sign_up(self, conn: Connection, token: str, email: str, hashed: str) -> SignedIn:
        at = micros(self._clock.now())
        row = self._open_invitation(conn, token)
        if row.email != email:
            raise InvalidRequest("The invitation was sent to another address.", param="email")
        user = accounts.user_by_email(conn, email, lock=True)
        if user is not None and (user.verified_at is not None or user.disabled_at is not None):
            raise Conflict(
                "This address has an account. Log in, then accept the invitation with "
                "POST /admin/v1/invitations/accept.",
                code="account_exists",
            )
        if user is None:
            user = UserRow(
                id=self._new_id("user"), email=email, password=hashed, created_at=at, verified_at=at
            )
            accounts.insert_user(conn, user)
        else:  # begun by whoever, and never verified: the mailbox decides
            accounts.set_password(conn, user.id, password=hashed)
            accounts.set_verified(conn, user.id, at=at)
            accounts.void_links(conn, user.id, purpose="verify", at=at)
            session_store.end_sessions(conn, user.id)
        note(
            conn, None, actor=user.id, action="user.signup", subject=user.id, at=at, detail={"invited": True}
        )
        self._join(conn, row, user=user)
        token = self._sessions.begin(conn, user.id)
        return SignedIn(accounts.user_by_id(conn, user.id) or user, token)

    def _open_invitation(self, conn: Connection, token: str) -> InvitationRow:
        now = micros(self._clock.now())
        row = store.invitation_by_digest(conn, digest_of(token), now=now)
        if row is None:
            raise InvalidRequest(
                "This invitation was used or taken back, has expired, or was not copied as a whole. Ask who invited "
                "you for another.",
                param="token",
                code="invalid_link",
            )
        return row

    def _join(self, conn: Connection, row: InvitationRow, *, user: UserRow) -> None:
        at = micros(self._clock.now())
        self._lock(conn, row.org_id)
        if store.role_of(conn, row.org_id, user_id=user.id) is not None:
            raise _member_already(user.email)
        if not store.use_invitation(conn, row.org_id, invitation_id=row.id, at=at):
            raise Conflict("The invitation was used at the same moment.")
        accounts.set_verified(conn, user.id, at=at)  # the token came to this address
        store.insert_member(conn, row.org_id, user_id=user.id, role=row.role, at=at)
        detail = {"invitation": row.id, "role": row.role}
        note(conn, row.org_id, actor=user.id, action="member.join", subject=user.id, at=at, detail=detail)

    # ---- what several share

    def _lock(self, conn: Connection, org_id: str) -> organizations.OrganizationRow:
        organization = organizations.organization(conn, org_id, lock=True)
        if organization is None:
            raise missing_organization()
        return organization

    def _lock_member(self, conn: Connection, org_id: str, *, user_id: str) -> Role:
        """The role of a member, with the organization locked: two who demote each other must not both succeed."""
        self._lock(conn, org_id)
        role = store.role_of(conn, org_id, user_id=user_id)
        if role is None:
            raise NotFound("The organization has no such member.")
        return role

    def _keep_an_owner(self, conn: Connection, org_id: str) -> None:
        if store.count_owners(conn, org_id) < 2:
            raise Conflict(
                "An organization keeps at least one owner. Make another member an owner first, or delete it.",
                code="last_owner",
            )

    def _note(
        self,
        conn: Connection,
        org_id: str,
        *,
        caller: Caller,
        action: str,
        subject: str,
        detail: Detail | None = None,
    ) -> None:
        at = micros(self._clock.now())
        note(conn, org_id, actor=caller.actor, action=action, subject=subject, at=at, detail=detail)


def _member_already(email: str) -> Conflict:
    return Conflict(f"{email} is a member already.", code="member_exists")
