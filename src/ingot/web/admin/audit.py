"""Routes for the audit log: an organization's, and for operators all of it; paged from the newest back."""

from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from ingot.services.accounts import Accounts
from ingot.services.accounts.permissions import OPERATOR
from ingot.store.audit import AuditRow, list_audit
from ingot.store.schema import seconds
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call


class Page(Struct, frozen=True):
    """Which rows: `before` is the `next` of the page before."""

    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Entry(Struct, frozen=True):
    """One change; `actor` is a user's or a key's id, `cli` for the operator's commands, `anonymous` for nobody yet."""

    id: int
    organization: str | None
    actor: str
    action: str
    subject: str
    detail: dict[str, str | int | bool | None]
    at: int
    object: str = "audit_entry"


class EntryList(Struct, frozen=True):
    """Entries, the newest first; `next` is the `before` of the page after, null on the last."""

    data: list[Entry]
    next: int | None
    object: str = "list"


def show_entry(row: AuditRow) -> Entry:
    """A row as the API tells it."""
    return Entry(
        id=row.seq,
        organization=row.org_id,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        detail=row.detail,
        at=seconds(row.at),
    )


def routes(accounts: Accounts) -> tuple[AdminRoute, ...]:
    """The rows."""

    async def page(org_id: str | None, wanted: Page) -> Answer:
        read = partial(list_audit, org_id=org_id, before=wanted.before, limit=wanted.limit + 1)
        rows = await accounts.db.read(read)
        shown = rows[: wanted.limit]
        following = shown[-1].seq if len(rows) > wanted.limit else None
        return Answer(EntryList([show_entry(row) for row in shown], following))

    async def own(call: Call) -> Answer:
        return await page(call.org_id, call.query)

    async def every(call: Call) -> Answer:
        return await page(None, call.query)

    return (
        AdminRoute(
            "GET", f"{PREFIX}/organizations/{{org}}/audit", own, "audit.read",
            "The organization's audit log", answer=EntryList, query=Page,
        ),
        AdminRoute(
            "GET", f"{PREFIX}/audit", every, OPERATOR, "The whole audit log", answer=EntryList, query=Page
        ),
    )  # fmt: skip
