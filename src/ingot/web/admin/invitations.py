"""Routes for invitations: send, list, take back; accept, with an account or with a new one."""

from msgspec import Struct

from ingot.services.accounts import Accounts
from ingot.services.accounts.permissions import ANYONE, PERSON
from ingot.services.accounts.team import Team
from ingot.store.members import InvitationRow, Role
from ingot.store.schema import seconds
from ingot.web.admin.auth import Email, Secret, Token
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call, Gone
from ingot.web.admin.shapes import User, show_user


class NewInvitation(Struct, frozen=True):
    """Whom to invite, and as what."""

    email: Email
    role: Role = "member"


class Invitation(Struct, frozen=True):
    """An invitation that can still be accepted; its token is in the mail alone."""

    id: str
    organization: str
    email: str
    role: Role
    invited_by: str
    created_at: int
    expires_at: int
    object: str = "invitation"


class InvitationList(Struct, frozen=True):
    """Open invitations, the oldest first."""

    data: list[Invitation]
    object: str = "list"


class Acceptance(Struct, frozen=True):
    """The token of the invitation's link."""

    token: Token


class InvitedSignUp(Struct, frozen=True):
    """The token of the invitation's link, the address that it was sent to, and a password."""

    token: Token
    email: Email
    password: Secret


def show_invitation(row: InvitationRow) -> Invitation:
    """An invitation as the organization sees it."""
    return Invitation(
        id=row.id,
        organization=row.org_id,
        email=row.email,
        role=row.role,
        invited_by=row.invited_by,
        created_at=seconds(row.created_at),
        expires_at=seconds(row.expires_at),
    )


class _Handlers:
    """The handlers."""

    def __init__(self, accounts: Accounts) -> None:
        self._team: Team = accounts.team
        self._people = accounts.people

    async def invite(self, call: Call) -> Answer:
        body: NewInvitation = call.body
        row = await self._team.invite(
            call.org_id,
            email=body.email,
            role=body.role,
            caller=call.who,
            acting=call.entered.role,
            keep=call.keep(show_invitation),
        )
        return Answer(show_invitation(row))

    async def list(self, call: Call) -> Answer:
        rows = await self._team.invitations(call.org_id)
        return Answer(InvitationList([show_invitation(row) for row in rows]))

    async def revoke(self, call: Call) -> Answer:
        invitation_id = call.path["invitation"]
        await self._team.revoke(call.org_id, invitation_id=invitation_id, caller=call.who)
        return Answer(Gone(invitation_id))

    async def accept(self, call: Call) -> Answer:
        body: Acceptance = call.body
        row, session = await self._team.accept(
            body.token, caller=call.who, keep=call.keep(lambda accepted: show_invitation(accepted[0]))
        )
        return Answer(show_invitation(row), session=session)

    async def sign_up(self, call: Call) -> Answer:
        body: InvitedSignUp = call.body
        self._people.limit_mails(call.address)
        signed_in = await self._team.sign_up(body.token, email=body.email, password=body.password)
        return Answer(show_user(signed_in.user), session=signed_in.token)


def routes(accounts: Accounts) -> tuple[AdminRoute, ...]:
    """The rows."""
    handlers = _Handlers(accounts)
    every = f"{PREFIX}/organizations/{{org}}/invitations"
    return (
        AdminRoute(
            "POST", every, handlers.invite, "invitations.create",
            "Invite somebody by mail; the newest invitation to an address counts", NewInvitation, Invitation,
            status=201,
        ),
        AdminRoute(
            "GET", every, handlers.list, "invitations.read", "List the open invitations", answer=InvitationList
        ),
        AdminRoute(
            "DELETE", f"{every}/{{invitation}}", handlers.revoke, "invitations.revoke",
            "Take an invitation back", answer=Gone,
        ),
        AdminRoute(
            "POST", f"{PREFIX}/invitations/accept", handlers.accept, PERSON,
            "Accept an invitation with the account that it was sent to", Acceptance, Invitation,
        ),
        AdminRoute(
            "POST", f"{PREFIX}/invitations/signup", handlers.sign_up, ANYONE,
            "Accept an invitation with a new account, also while sign-up is closed", InvitedSignUp, User,
            status=201, keyless=True,
        ),
    )  # fmt: skip
