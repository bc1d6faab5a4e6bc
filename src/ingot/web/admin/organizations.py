"""Routes for organizations: create, list, show, set, delete, leave."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from ingot.errors import Forbidden
from ingot.services.accounts import Accounts
from ingot.services.accounts.permissions import CALLER
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call, Done, Gone
from ingot.web.admin.shapes import Organization, show_organization

Name = Annotated[str, Meta(min_length=1, max_length=100)]
PlanName = Annotated[str, Meta(min_length=1, max_length=100)]


class NewOrganization(Struct, frozen=True):
    """A new organization; `plan`, `owner` (a mail address) and `prepaid` are for operators."""

    name: Name
    plan: PlanName | None = None
    owner: Annotated[str, Meta(max_length=254)] | None = None
    prepaid: bool | None = None


class OrganizationChange(Struct, frozen=True):
    """What to set; what is left out stays. `plan` and `prepaid` are for operators."""

    name: Name | UnsetType = UNSET
    keep_content: bool | UnsetType = UNSET
    retention_days: Annotated[int, Meta(ge=1, le=3650)] | UnsetType | None = UNSET
    plan: PlanName | UnsetType = UNSET
    prepaid: bool | UnsetType = UNSET


class OrganizationPage(Struct, frozen=True):
    """Which organizations: `after` is the last id of the page before."""

    after: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class OrganizationList(Struct, frozen=True):
    """Organizations, the oldest first; with `has_more` ask again, `after` the last id."""

    data: list[Organization]
    has_more: bool
    object: str = "list"


class _Handlers:
    """The handlers."""

    def __init__(self, accounts: Accounts) -> None:
        self._organizations = accounts.organizations
        self._team = accounts.team

    async def create(self, call: Call) -> Answer:
        body: NewOrganization = call.body
        row, session = await self._organizations.create(
            call.who,
            body.name,
            plan=body.plan,
            owner=body.owner,
            prepaid=body.prepaid,
            keep=call.keep(lambda made: show_organization(made[0])),
        )
        return Answer(show_organization(row), session=session)

    async def list(self, call: Call) -> Answer:
        page: OrganizationPage = call.query
        rows, more = await self._organizations.visible(call.who, limit=page.limit, after=page.after)
        return Answer(OrganizationList([show_organization(row) for row in rows], more))

    async def show(self, call: Call) -> Answer:
        return Answer(show_organization(call.entered.organization))

    async def change(self, call: Call) -> Answer:
        body: OrganizationChange = call.body
        changes: dict[str, Any] = {
            name: value for name, value in structs.asdict(body).items() if value is not UNSET
        }
        return Answer(
            show_organization(await self._organizations.update(call.org_id, caller=call.who, changes=changes))
        )

    async def delete(self, call: Call) -> Answer:
        await self._organizations.delete(call.org_id, caller=call.who)
        return Answer(Gone(call.org_id))

    async def leave(self, call: Call) -> Answer:
        if call.who.user is None:
            raise Forbidden("A key is no member and cannot leave; revoke it instead.")
        left = Done("You are no longer a member.")
        await self._team.remove(
            call.org_id,
            user_id=call.who.actor,
            caller=call.who,
            acting=call.entered.role,
            keep=call.keep(lambda _: left),
        )
        return Answer(left)


def routes(accounts: Accounts) -> tuple[AdminRoute, ...]:
    """The rows."""
    handlers = _Handlers(accounts)
    every = f"{PREFIX}/organizations"
    one = f"{every}/{{org}}"
    return (
        AdminRoute(
            "POST", every, handlers.create, CALLER,
            "Create an organization, owned by who creates it", NewOrganization, Organization, status=201,
        ),
        AdminRoute(
            "GET", every, handlers.list, CALLER,
            "List one's organizations, a page at a time; an operator sees all", answer=OrganizationList,
            query=OrganizationPage,
        ),
        AdminRoute("GET", one, handlers.show, "organization.read", "One organization", answer=Organization),
        AdminRoute(
            "PATCH", one, handlers.change, "organization.update",
            "Set name, retention and what is kept; for operators the plan", OrganizationChange, Organization,
        ),
        AdminRoute(
            "DELETE", one, handlers.delete, "organization.delete",
            "Delete the organization: its keys stop, its stored content goes, its ledger stays", answer=Gone,
        ),
        AdminRoute(
            "POST", f"{one}/leave", handlers.leave, "organization.read",
            "Leave the organization; the last owner cannot", answer=Done,
        ),
    )  # fmt: skip
