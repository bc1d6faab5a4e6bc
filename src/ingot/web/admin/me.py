"""The route about the caller: who is logged in, and where they are a member."""

from functools import partial

from msgspec import Struct

from ingot.services.accounts import Accounts
from ingot.services.accounts.permissions import PERSON
from ingot.store.members import memberships
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call
from ingot.web.admin.shapes import OrganizationRole, User, show_membership, show_user


class Me(Struct, frozen=True):
    """The person who is logged in, with their organizations."""

    user: User
    organizations: list[OrganizationRole]


def routes(accounts: Accounts) -> tuple[AdminRoute, ...]:
    """The row."""

    async def me(call: Call) -> Answer:
        user = call.who.user
        if user is None:
            raise AssertionError("the action admits people alone")
        own = await accounts.db.read(partial(memberships, user_id=user.id))
        return Answer(Me(show_user(user), [show_membership(each) for each in own]))

    return (AdminRoute("GET", f"{PREFIX}/me", me, PERSON, "Who is logged in", answer=Me),)
