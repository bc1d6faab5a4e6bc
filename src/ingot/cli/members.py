"""`ingot members`: who belongs to an organization, and as what.

Works on the database itself, whether a server runs on it or not. Whose role changes has to log in again.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.accounts import Tools, run, when
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.orgs import OrgArgument
from ingot.cli.output import print_json
from ingot.services.accounts.desk import OPERATOR
from ingot.store.members import MemberRow, Role
from ingot.web.admin.members import show_member

app = typer.Typer(name="members", help="Add, remove and list members of organizations.", no_args_is_help=True)

EmailArgument = Annotated[str, typer.Argument(help="The mail address of the account.")]


@app.command()
def add(
    organization: OrgArgument,
    email: EmailArgument,
    role: Annotated[
        Role, typer.Option("--role", "-r", help="What they may do: owner, admin, member or viewer.")
    ] = "member",
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make somebody who has an account a member."""

    async def work(tools: Tools) -> MemberRow:
        org = await tools.desk.organization(organization)
        await tools.desk.user(email)
        return await tools.accounts.team.add(org.id, email=email, role=role, caller=OPERATOR)

    _show(run(data, config, work), as_json=as_json)


@app.command("role")
def set_role(
    organization: OrgArgument,
    email: EmailArgument,
    role: Annotated[Role, typer.Argument(help="What they may do: owner, admin, member or viewer.")],
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Change a member's role."""

    async def work(tools: Tools) -> MemberRow:
        org = await tools.desk.organization(organization)
        user = await tools.desk.user(email)
        return await tools.accounts.team.set_role(
            org.id, user_id=user.id, role=role, caller=OPERATOR, acting="owner"
        )

    _show(run(data, config, work), as_json=as_json)


@app.command()
def remove(
    organization: OrgArgument,
    email: EmailArgument,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """End a membership; the last owner stays."""

    async def work(tools: Tools) -> str:
        org = await tools.desk.organization(organization)
        user = await tools.desk.user(email)
        await tools.accounts.team.remove(org.id, user_id=user.id, caller=OPERATOR, acting="owner")
        return user.id

    user_id = run(data, config, work)
    if as_json:
        print_json({"id": user_id, "deleted": True})
    else:
        print(f"removed {email}")


@app.command("list")
def list_members(
    organization: OrgArgument,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List the members of an organization."""

    async def work(tools: Tools) -> list[MemberRow]:
        org = await tools.desk.organization(organization)
        return await tools.accounts.team.members(org.id)

    rows = run(data, config, work)
    if as_json:
        print_json([show_member(row) for row in rows])
    elif rows:
        table = Table("email", "role", "since", "user", box=None, pad_edge=False)
        for row in rows:
            table.add_row(escape(row.email), row.role, when(row.created_at), row.user_id)
        Console().print(table)
    else:
        print(f"No members. Add one with `ingot members add {organization} EMAIL`.", file=sys.stderr)


def _show(row: MemberRow, *, as_json: bool) -> None:
    if as_json:
        print_json(show_member(row))
    else:
        print(f"{row.email} is {row.role} of {row.org_id}")
