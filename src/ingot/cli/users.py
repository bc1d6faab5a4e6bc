"""`ingot users`: accounts of people, without mail and whether sign-up is open or not.

Works on the database itself, whether a server runs on it or not; whose account changes has to log in again.
A password comes from a prompt or from standard input, never from an argument, which other users could see.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

import sys
from typing import Annotated, Any

import typer
from msgspec import structs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.accounts import look, run, when
from ingot.cli.members import EmailArgument
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import fail, print_json
from ingot.store.accounts import UserRow
from ingot.web.admin.shapes import show_user

app = typer.Typer(name="users", help="Create, list, verify and disable accounts.", no_args_is_help=True)

StdinOption = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input; else it is asked for."),
]


@app.command()
def create(
    email: EmailArgument,
    operator: Annotated[bool, typer.Option("--operator", help="Let them act on every organization.")] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Leave it to them to prove the address by mail.")
    ] = False,
    password_stdin: StdinOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Create an account, with a verified address."""
    password = _password(from_stdin=password_stdin)
    row = run(
        data,
        config,
        lambda tools: tools.desk.create(email, password, verified=not unverified, operator=operator),
        create=True,
    )
    _show(row, "created", as_json=as_json)


@app.command("list")
def list_users(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """List the accounts."""
    rows = look(data, config, lambda tools: tools.desk.users()) or []
    if as_json:
        print_json([_told(row) for row in rows])
    elif rows:
        table = Table("email", "id", "created", "last login", "state", box=None, pad_edge=False)
        for row in rows:
            table.add_row(
                escape(row.email), row.id, when(row.created_at), when(row.last_login_at), _state(row)
            )
        Console().print(table)
    else:
        print("No accounts yet. Create one with `ingot users create EMAIL`.")


@app.command()
def verify(
    email: EmailArgument, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Take an address as proved."""
    _show(run(data, config, lambda tools: tools.desk.verify(email)), "verified", as_json=as_json)


@app.command()
def password(
    email: EmailArgument,
    password_stdin: StdinOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Set a password; every session of the account ends."""
    text = _password(from_stdin=password_stdin)
    row = run(data, config, lambda tools: tools.desk.set_password(email, text))
    _show(row, "set the password of", as_json=as_json)


@app.command()
def operator(
    email: EmailArgument,
    off: Annotated[bool, typer.Option("--off", help="Take the right away.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Let somebody act on every organization."""
    row = run(data, config, lambda tools: tools.desk.set_operator(email, operator=not off))
    _show(row, "no longer an operator:" if off else "made an operator:", as_json=as_json)


@app.command()
def disable(
    email: EmailArgument,
    off: Annotated[bool, typer.Option("--off", help="Let them in again.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Lock somebody out: no login, and every session ends."""
    row = run(data, config, lambda tools: tools.desk.set_disabled(email, disabled=not off))
    _show(row, "enabled" if off else "disabled", as_json=as_json)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        fail("there is no terminal to ask at; pipe the password in with --password-stdin", status=2)
    text: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return text


def _told(row: UserRow) -> dict[str, Any]:
    """An account as the admin API shows it, and whether it is locked out."""
    return structs.asdict(show_user(row)) | {"disabled": row.disabled_at is not None}


def _show(row: UserRow, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_told(row))
    else:
        print(f"{done} {row.email} ({row.id})")


def _state(row: UserRow) -> str:
    if row.disabled_at is not None:
        return f"disabled {when(row.disabled_at)}"
    kind = "operator" if row.operator else "live"
    return kind if row.verified_at is not None else f"{kind}, unverified"
