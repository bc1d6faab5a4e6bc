"""`ingot orgs`: create, list, show, set and delete organizations.

Works on the database itself, whether a server runs on it or not; a running one follows within 5 s.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

import sys
from typing import Annotated, Any

import typer
from msgspec import structs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.accounts import Tools, look, run, when
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import fail, print_json
from ingot.services.accounts.desk import OPERATOR
from ingot.store.members import MemberRow
from ingot.store.organizations import OrganizationRow
from ingot.store.schema import seconds_or_none
from ingot.web.admin.members import show_member
from ingot.web.admin.shapes import show_organization

app = typer.Typer(name="orgs", help="Create, list, show, set and delete organizations.", no_args_is_help=True)

OrgArgument = Annotated[str, typer.Argument(help="The id or the name of the organization.")]

_EMPTY = "No organizations but the operator's own yet. Create one with `ingot orgs create --name NAME`."


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", "-n", help="What the organization is called.")],
    plan: Annotated[
        str | None, typer.Option("--plan", help="The name of its plan; else what accounts.plan says.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="The mail address of its first owner, who has an account.")
    ] = None,
    postpaid: Annotated[
        bool, typer.Option("--postpaid", help="Let it spend without credit; else it tops up first.")
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Create an organization."""

    async def work(tools: Tools) -> OrganizationRow:
        row, _ = await tools.accounts.organizations.create(
            OPERATOR, name, plan=plan, owner=owner, prepaid=not postpaid
        )
        return row

    row = run(data, config, work, create=True)
    if as_json:
        print_json(told(row))
        return
    print(row.id)
    if owner is None:
        print(
            f"It has no owner yet: `ingot members add {row.id} EMAIL --role owner` makes one.",
            file=sys.stderr,
        )


@app.command("list")
def list_organizations(
    deleted: Annotated[bool, typer.Option("--deleted", help="Show deleted ones too.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List the organizations."""
    rows = look(data, config, lambda tools: tools.desk.organizations(deleted=deleted)) or []
    if as_json:
        print_json([told(row) for row in rows])
        return
    if rows:
        table = Table("name", "id", "plan", "pays", "created", "state", box=None, pad_edge=False)
        for row in rows:
            state = "live" if row.deleted_at is None else f"deleted {when(row.deleted_at)}"
            pays = "before" if row.prepaid else "after"
            table.add_row(escape(row.name), row.id, escape(row.plan), pays, when(row.created_at), state)
        Console().print(table)
    if len(rows) < 2:
        print(_EMPTY, file=sys.stderr)


@app.command()
def show(
    organization: OrgArgument,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show an organization and its members."""

    async def work(tools: Tools) -> tuple[OrganizationRow, list[MemberRow]]:
        row = await tools.desk.organization(organization)
        return row, await tools.accounts.team.members(row.id)

    row, members = run(data, config, work)
    if as_json:
        print_json(told(row) | {"members": [show_member(each) for each in members]})
        return
    console = Console()
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("name", escape(row.name)),
        ("id", row.id),
        ("plan", escape(row.plan)),
        ("pays", "before" if row.prepaid else "after"),
        ("content", "kept" if row.keep_content else "not kept"),
        ("retention", "the server's" if row.retention_days is None else f"{row.retention_days} days"),
        ("created", when(row.created_at)),
    ):
        table.add_row(name, value)
    console.print(table)
    for member in members:
        console.print(f"{member.role}  {escape(member.email)}", highlight=False)
    if not members:
        print(f"No members. Add one with `ingot members add {row.id} EMAIL --role owner`.", file=sys.stderr)


@app.command("set")
def change(
    organization: OrgArgument,
    name: Annotated[str | None, typer.Option("--name", "-n", help="What it is called from now on.")] = None,
    plan: Annotated[str | None, typer.Option("--plan", help="The name of its plan.")] = None,
    keep_content: Annotated[
        bool | None,
        typer.Option("--keep-content/--no-keep-content", help="Whether prompts and answers are kept."),
    ] = None,
    retention_days: Annotated[
        int | None,
        typer.Option(
            "--retention-days", min=0, max=3650, help="Days that stored responses stay; 0: the server's."
        ),
    ] = None,
    prepaid: Annotated[
        bool | None, typer.Option("--prepaid/--postpaid", help="Whether it needs credit before it spends.")
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Set what is named; the rest stays."""
    given: dict[str, Any] = {"name": name, "plan": plan, "keep_content": keep_content, "prepaid": prepaid}
    changes = {key: value for key, value in given.items() if value is not None}
    if retention_days is not None:
        changes["retention_days"] = retention_days or None
    if not changes:
        fail("nothing to set: `ingot orgs set --help` shows what there is", status=2)

    async def work(tools: Tools) -> OrganizationRow:
        row = await tools.desk.organization(organization)
        return await tools.accounts.organizations.update(row.id, caller=OPERATOR, changes=changes)

    row = run(data, config, work)
    if as_json:
        print_json(told(row))
    else:
        print(f"set {', '.join(sorted(changes))} of {row.name} ({row.id})")


@app.command()
def delete(
    organization: OrgArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete an organization: its keys stop and its stored content goes, its ledger stays."""

    async def find(tools: Tools) -> OrganizationRow:
        return await tools.desk.organization(organization)

    row = run(data, config, find)
    if not yes and not typer.confirm(
        f"Delete {row.name} ({row.id}), its keys and all stored prompts and answers?", err=True
    ):
        fail("nothing was deleted")

    async def work(tools: Tools) -> None:
        await tools.accounts.organizations.delete(row.id, caller=OPERATOR)

    run(data, config, work)
    if as_json:
        print_json({"id": row.id, "deleted": True})
    else:
        print(f"deleted {row.name} ({row.id})")


def told(row: OrganizationRow) -> dict[str, Any]:
    """An organization as the admin API shows it, and when it was deleted."""
    deleted = seconds_or_none(row.deleted_at)
    return structs.asdict(show_organization(row)) | {"deleted_at": deleted}
