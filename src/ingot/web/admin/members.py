"""Routes for an organization's members: list, change a role, remove."""

from msgspec import Struct

from ingot.services.accounts import Accounts
from ingot.store.members import MemberRow, Role
from ingot.store.schema import seconds
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call, Gone


class Member(Struct, frozen=True):
    """A person in an organization; `id` is the user's."""

    id: str
    email: str
    role: Role
    created_at: int
    object: str = "member"


class MemberList(Struct, frozen=True):
    """Members, the oldest membership first."""

    data: list[Member]
    object: str = "list"


class RoleChange(Struct, frozen=True):
    """The role that a member shall have."""

    role: Role


def show_member(row: MemberRow) -> Member:
    """A member as the others see them."""
    return Member(id=row.user_id, email=row.email, role=row.role, created_at=seconds(row.created_at))


def routes(accounts: Accounts) -> tuple[AdminRoute, ...]:
    """The rows."""
    team = accounts.team

    async def list_members(call: Call) -> Answer:
        return Answer(MemberList([show_member(row) for row in await team.members(call.org_id)]))

    async def set_role(call: Call) -> Answer:
        body: RoleChange = call.body
        row = await team.set_role(
            call.org_id,
            user_id=call.path["user"],
            role=body.role,
            caller=call.who,
            acting=call.entered.role,
        )
        return Answer(show_member(row))

    async def remove(call: Call) -> Answer:
        user_id = call.path["user"]
        await team.remove(call.org_id, user_id=user_id, caller=call.who, acting=call.entered.role)
        return Answer(Gone(user_id))

    every = f"{PREFIX}/organizations/{{org}}/members"
    one = f"{every}/{{user}}"
    return (
        AdminRoute("GET", every, list_members, "members.read", "List the members", answer=MemberList),
        AdminRoute(
            "PATCH", one, set_role, "members.update",
            "Change a member's role, who then logs in again", RoleChange, Member,
        ),
        AdminRoute("DELETE", one, remove, "members.remove", "Remove a member", answer=Gone),
    )  # fmt: skip
