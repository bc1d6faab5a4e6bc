"""Organizations: who may create one, what can be set, and how one ends.

    create --settings, plan--> live --delete--> deleted: keys revoked, retries void; content goes in the background

A person owns one organization on the plan that new ones begin with, so that its limits are per person; an operator
creates any number, for anybody. The operator's own organization cannot be deleted. Knows no HTTP.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.errors import Conflict, Forbidden, InvalidRequest, NotFound
from ingot.ids import NewId
from ingot.logs import Log
from ingot.services.accounts.records import Caller, read_email, read_name
from ingot.services.accounts.sessions import Sessions
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.store import accounts, erasure, members, sessions
from ingot.store import organizations as store
from ingot.store.audit import note
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.organizations import OrganizationRow
from ingot.store.schema import DEFAULT_ORG, micros
from ingot.store.subscriptions import live_subscription

REMEMBERED_SECONDS = 30 * 86400
"""How long a deleted organization counts as owned, so that deleting one does not renew a plan's limits and credits."""
LONGEST_RETENTION = 3650
SWEEP_SECONDS = 3600


class Organizations:
    """The organizations of one server."""

    def __init__(
        self, db: Database, *, plan: str, sessions: Sessions, clock: Clock, log: Log, new_id: NewId
    ) -> None:
        """`plan` names the plan that a new organization begins with."""
        self._db = db
        self._plan = plan
        self._sessions = sessions
        self._clock = clock
        self._log = log
        self._new_id = new_id
        self._purges: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Finishes deletions that were cut short, at the start and every hour; runs until cancelled."""
        while True:
            try:
                for org_id in await self._db.read(erasure.deleted_organizations):
                    await self.purge(org_id)
            except StoreError as error:
                self._log.warning("content_not_deleted", error=error.message)
            await asyncio.sleep(SWEEP_SECONDS)

    async def close(self) -> None:
        """Waits for deletions that run; call it before the database's."""
        await asyncio.gather(*self._purges)

    async def create(
        self,
        caller: Caller,
        name: str,
        *,
        plan: str | None = None,
        owner: str | None = None,
        prepaid: bool | None = None,
        keep: Keep[tuple[OrganizationRow, str | None]] = keep_nothing,
    ) -> tuple[OrganizationRow, str | None]:
        """A new organization, and the token that the creator's session got with the new role.

        `plan`, `owner` (a mail address) and `prepaid` are for operators. Raises Forbidden, Conflict, InvalidRequest.
        """
        if not caller.operator and (plan is not None or owner is not None or prepaid is not None):
            raise Forbidden("Only an operator chooses another plan, another owner, or who pays later.")
        if caller.user is None and not caller.operator:
            raise Forbidden("A key creates no organization; log in as the person who will own it.")
        row = OrganizationRow(
            id=self._new_id("org"),
            name=read_name(name),
            plan=plan or self._plan,
            prepaid=True if prepaid is None else prepaid,
            keep_content=True,
            retention_days=None,
            created_at=micros(self._clock.now()),
        )
        email = None if owner is None else read_email(owner)
        return await self._db.write(kept(partial(self._create, caller=caller, row=row, owner=email), keep))

    def _create(
        self, conn: Connection, caller: Caller, row: OrganizationRow, owner: str | None
    ) -> tuple[OrganizationRow, str | None]:
        plan_id = read_plan(conn, row.plan)
        user_id = None if caller.user is None else caller.user.id
        if owner is not None:
            found = accounts.user_by_email(conn, owner)
            if found is None:
                raise InvalidRequest(
                    f"Nobody here has the address {owner}. Create the organization without an owner and invite them.",
                    param="owner",
                )
            user_id = found.id
            if user_id != caller.actor:
                sessions.end_sessions(conn, user_id)  # whose rights grow signs in again
        if user_id is not None and not caller.operator:
            accounts.user_by_id(
                conn, user_id, lock=True
            )  # of two requests at once the second sees the first's
            since = row.created_at - micros(REMEMBERED_SECONDS)
            if store.owned_on_plan(conn, user_id, plan=plan_id, since=since):
                raise Conflict(
                    f"You own an organization on the plan '{row.plan}' already, or deleted one in the last 30 days; "
                    "it is one for each person. Invite others into it, or ask the operator for another.",
                    code="organization_exists",
                )
        store.insert_organization(conn, row, plan_id=plan_id)
        detail = {"name": row.name, "plan": row.plan}
        note(
            conn, row.id, actor=caller.actor, action="organization.create", subject=row.id,
            at=row.created_at, detail=detail,
        )  # fmt: skip
        if user_id is None:
            return row, None
        members.insert_member(conn, row.id, user_id=user_id, role="owner", at=row.created_at)
        renew = caller.session is not None and user_id == caller.actor
        return row, self._sessions.renew(conn, caller.session) if renew and caller.session else None

    async def visible(
        self, caller: Caller, *, limit: int, after: str | None = None
    ) -> tuple[list[OrganizationRow], bool]:
        """The organizations that the caller may see, the oldest first, and whether there are more: an operator sees all,
        others their own. Raises InvalidRequest where `after` names none of them.
        """
        rows = await self._db.read(partial(_visible, caller=caller, limit=limit + 1, after=after))
        return rows[:limit], len(rows) > limit

    async def update(self, org_id: str, *, caller: Caller, changes: dict[str, Any]) -> OrganizationRow:
        """Sets `name`, `keep_content`, `retention_days`, and for operators `plan` and `prepaid`; the rest stays."""
        if {"plan", "prepaid"} & changes.keys() and not caller.operator:
            raise Forbidden("Only an operator changes an organization's plan or how it pays.")
        days = changes.get("retention_days")
        if days is not None and not 1 <= days <= LONGEST_RETENTION:
            raise InvalidRequest(
                f"Retention is 1 to {LONGEST_RETENTION} days, or null for the server's.",
                param="retention_days",
            )
        if "name" in changes:
            changes = changes | {"name": read_name(changes["name"])}
        return await self._db.write(partial(self._update, org_id=org_id, caller=caller, changes=changes))

    def _update(
        self, conn: Connection, org_id: str, caller: Caller, changes: dict[str, Any]
    ) -> OrganizationRow:
        row = store.organization(conn, org_id, lock=True)
        if row is None:
            raise missing_organization()
        changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
        if not changed:
            return row
        values = {
            ("plan_id" if name == "plan" else name): (
                read_plan(conn, value) if name == "plan" else int(value) if isinstance(value, bool) else value
            )
            for name, value in changed.items()
        }
        store.change_organization(conn, org_id, values=values)
        at = micros(self._clock.now())
        if "plan" in changed:
            detail = {"from": row.plan, "to": changed["plan"]}
            note(conn, org_id, actor=caller.actor, action="plan.change", subject=org_id, at=at, detail=detail)
        settings = {name: value for name, value in changed.items() if name != "plan"}
        if settings:
            note(
                conn, org_id, actor=caller.actor, action="organization.update", subject=org_id, at=at,
                detail=settings,
            )  # fmt: skip
        return replace(row, **changed)

    async def delete(self, org_id: str, *, caller: Caller) -> None:
        """Ends an organization; its content is deleted in the background. Raises Conflict for the operator's own."""
        if org_id == DEFAULT_ORG:
            raise Conflict("The operator's own organization cannot be deleted.")
        # Under the organization's name: what its last calls leave is there to be deleted, or knows that it is not kept.
        await self._db.write(partial(self._delete, org_id=org_id, caller=caller), locks=(org_id,))
        task = asyncio.get_running_loop().create_task(self._purge_later(org_id))
        self._purges.add(task)
        task.add_done_callback(self._purges.discard)

    def _delete(self, conn: Connection, org_id: str, caller: Caller) -> None:
        at = micros(self._clock.now())
        subscribed = live_subscription(conn, org_id)
        if not store.delete_organization(conn, org_id, at=at):
            raise missing_organization()
        if subscribed is not None:
            note(
                conn, org_id, actor=caller.actor, action="subscription.end", subject=subscribed.id, at=at,
                detail={"plan": subscribed.plan_id, "period_end": subscribed.period_end},
            )  # fmt: skip
        note(conn, org_id, actor=caller.actor, action="organization.delete", subject=org_id, at=at)

    async def purge(self, org_id: str) -> None:
        """Deletes all content of a deleted organization, piece by piece."""
        while await self._db.write(partial(erasure.erase_organization, org_id=org_id)):
            continue  # each piece is a write of its own, so that others come in between

    async def _purge_later(self, org_id: str) -> None:
        try:
            await self.purge(org_id)
        except StoreError as error:  # the hourly sweep goes on from here
            self._log.warning("content_not_deleted", organization=org_id, error=error.message)


def missing_organization() -> NotFound:
    """The one answer for an organization that is not there, was deleted, or is somebody else's."""
    return NotFound("There is no such organization, or you are not a member of it.")


def read_plan(conn: Connection, name: str) -> str:
    """The id of a plan; raises InvalidRequest that names those there are."""
    found = store.plan_id(conn, name)
    if found is None:
        names = ", ".join(store.plan_names(conn))
        raise InvalidRequest(f"There is no plan named {name!r:.80}. There are: {names}.", param="plan")
    return found


def _visible(conn: Connection, caller: Caller, *, limit: int, after: str | None) -> list[OrganizationRow]:
    if caller.operator:
        if after is not None and not store.known(conn, after):
            raise _no_such_page()
        return store.list_organizations(conn, after=after, limit=limit)
    ids = [caller.key_org] if caller.user is None else [
        each.org_id for each in members.memberships(conn, caller.user.id)
    ]  # fmt: skip
    found = (store.organization(conn, org_id) for org_id in ids if org_id is not None)
    rows = sorted((row for row in found if row is not None), key=lambda row: (row.created_at, row.id))
    begin = 0
    if after is not None:
        begin = next((place for place, row in enumerate(rows, 1) if row.id == after), 0)
        if not begin:
            raise _no_such_page()
    return rows[begin : begin + limit]


def _no_such_page() -> InvalidRequest:
    return InvalidRequest(
        "'after' names no organization of the list; take the last `id` of the page before.", param="after"
    )
