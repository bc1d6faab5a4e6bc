"""`ingot orgs`, `ingot users` and `ingot members` as an operator runs them, on a real data directory."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection
from typer.testing import CliRunner, Result

from adminhouse import PASSWORD
from ingot.cli.main import app
from ingot.store import audit, sessions
from ingot.store.accounts import user_by_email
from ingot.store.engine import open_database

T = TypeVar("T")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that is not there yet, below where the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def ingot(data: Path, *words: str, code: int = 0, given: str = "") -> Result:
    """`ingot ...` in a directory without a configuration, with `given` on its standard input.

    In this process: a process for each of so many commands would take minutes.
    """
    variables: dict[str, str | None] = {name: None for name in os.environ if name.startswith("INGOT_")}
    variables |= {"INGOT_DATA": str(data), "NO_COLOR": "1", "COLUMNS": "160"}
    done = CliRunner().invoke(app, list(words), input=given, env=variables)
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def asked(data: Path, *words: str, given: str = "") -> Any:
    """What a command prints with --json."""
    return json.loads(ingot(data, *words, "--json", given=given).stdout)


async def read(data: Path, fn: Callable[[Connection], T]) -> T:
    """What a function finds in the database."""
    async with open_database(data) as db:
        return await db.read(fn)


async def write(data: Path, fn: Callable[[Connection], None]) -> None:
    """Changes the database."""
    async with open_database(data) as db:
        await db.write(fn)


def test_command_says_what_to_run_when_there_is_nothing(data: Path) -> None:
    """To look creates no database; each empty state names the next command."""
    assert "ingot users create" in ingot(data, "users", "list").stdout
    assert "ingot orgs create" in ingot(data, "orgs", "list").stderr
    assert asked(data, "orgs", "list") == asked(data, "users", "list") == []
    assert "--data" in ingot(data, "orgs", "show", "x", code=1).stderr
    assert not data.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("orgs", "create", "--name", "Engines", "--plan", "none"), "no plan named 'none'"),
        (
            ("orgs", "create", "--name", "Engines", "--owner", "ada@example.org"),
            "Nobody here has the address",
        ),
        (("orgs", "create", "--name", "\t"), "printable"),
        (("users", "create", "ada", "--password-stdin"), "no mail address"),
        (("keys", "create", "--name", "app", "--org", "nobody"), "no organization"),
        (("plans", "create", "Team"), "lower-case letter"),
    ],
)
def test_nothing_is_left_behind_when_the_first_command_is_refused(
    data: Path, words: tuple[str, ...], told: str
) -> None:
    """The first that succeeds makes the database; one that is refused leaves an empty directory as it was."""
    data.mkdir()
    assert told in ingot(data, *words, code=1, given="a good long password\n").stderr
    assert list(data.iterdir()) == []
    ingot(data, "orgs", "create", "--name", "Engines")
    assert (data / "ingot.db").exists()


def test_organization_lives_when_the_operator_makes_it(data: Path) -> None:
    """Create accounts and an organization, join them, set, look, delete: the API's own objects as JSON."""
    ada = asked(data, "users", "create", "Ada@Example.org", "--password-stdin", given=f"{PASSWORD}\n")
    assert (ada["email"], ada["verified"], ada["operator"]) == ("ada@example.org", True, False)
    ingot(data, "users", "create", "bob@example.org", "--password-stdin", "--unverified", given=PASSWORD)
    org = asked(
        data, "orgs", "create", "--name", "Engines [bold]", "--owner", "ada@example.org", "--plan", "pro"
    )
    assert (org["plan"], org["prepaid"], org["deleted_at"]) == ("pro", True, None)
    assert asked(data, "members", "add", org["id"], "bob@example.org", "--role", "viewer")["role"] == "viewer"
    assert (
        "bob@example.org is admin"
        in ingot(data, "members", "role", org["id"], "bob@example.org", "admin").stdout
    )
    listed = ingot(data, "members", "list", "Engines [bold]").stdout
    assert "ada@example.org" in listed
    assert "owner" in listed
    changed = asked(
        data,
        "orgs",
        "set",
        org["id"],
        "--name",
        "Looms",
        "--no-keep-content",
        "--retention-days",
        "7",
        "--postpaid",
    )
    assert (changed["name"], changed["keep_content"], changed["retention_days"]) == ("Looms", False, 7)
    assert changed["prepaid"] is False
    assert asked(data, "orgs", "set", "Looms", "--retention-days", "0")["retention_days"] is None
    shown = asked(data, "orgs", "show", "Looms")
    assert [(each["email"], each["role"]) for each in shown["members"]] == [
        ("ada@example.org", "owner"),
        ("bob@example.org", "admin"),
    ]
    assert "Looms" in ingot(data, "orgs", "show", "Looms").stdout
    ingot(data, "members", "remove", "Looms", "bob@example.org")
    assert ingot(data, "orgs", "delete", "Looms", code=1, given="n\n").stderr
    assert asked(data, "orgs", "delete", "Looms", "--yes") == {"id": org["id"], "deleted": True}
    assert [each["id"] for each in asked(data, "orgs", "list")] == ["org_default"]
    assert len(asked(data, "orgs", "list", "--deleted")) == 2
    assert "deleted 2" in ingot(data, "orgs", "list", "--deleted").stdout
    rows = asyncio.run(read(data, lambda conn: audit.list_audit(conn, None, before=None, limit=100)))
    assert {row.actor for row in rows} == {"cli"}
    assert [row.action for row in reversed(rows)] == [
        "user.create", "user.create", "organization.create", "member.add", "member.role",
        "organization.update", "organization.update", "member.remove", "organization.delete",
    ]  # fmt: skip


def test_account_changes_when_the_operator_says_so(data: Path) -> None:
    """Verify, password, operator, disable and back; each ends the sessions, and no list shows a hash."""
    ingot(data, "users", "create", "ada@example.org", "--password-stdin", "--unverified", given=PASSWORD)
    assert "unverified" in ingot(data, "users", "list").stdout
    assert asked(data, "users", "verify", "ada@example.org")["verified"]
    user = asyncio.run(read(data, lambda conn: user_by_email(conn, "ada@example.org")))
    assert user
    session = sessions.SessionRow(b"d", user.id, 1, 2**60, 2**61)
    asyncio.run(write(data, lambda conn: sessions.insert_session(conn, session)))
    ingot(data, "users", "password", "ada@example.org", "--password-stdin", given="another good password\n")
    assert asked(data, "users", "operator", "ada@example.org")["operator"]
    assert not asked(data, "users", "operator", "ada@example.org", "--off")["operator"]
    assert asked(data, "users", "disable", "ada@example.org")["disabled"]
    assert "disabled 2" in ingot(data, "users", "list").stdout
    assert not asked(data, "users", "disable", "ada@example.org", "--off")["disabled"]
    assert "argon2" not in ingot(data, "users", "list", "--json").stdout
    user = asyncio.run(read(data, lambda conn: user_by_email(conn, "ada@example.org")))
    assert user
    assert PasswordHasher().verify(str(user.password), "another good password")
    over = asyncio.run(read(data, lambda conn: sessions.live_session(conn, b"d", now=1, idle_since=0)))
    assert over is None


def test_command_is_refused_when_it_cannot_be_done(data: Path) -> None:
    """Each refusal says what is wrong and what to run, and leaves things as they were."""
    ingot(data, "users", "create", "ada@example.org", "--password-stdin", given=PASSWORD)
    again = ingot(data, "users", "create", "ada@example.org", "--password-stdin", code=1, given=PASSWORD)
    assert "ingot users password" in again.stderr
    assert (
        "8 to 128"
        in ingot(data, "users", "create", "b@example.org", "--password-stdin", code=1, given="x").stderr
    )
    assert (
        "no mail address"
        in ingot(data, "users", "create", "b", "--password-stdin", code=1, given=PASSWORD).stderr
    )
    assert "--password-stdin" in ingot(data, "users", "create", "b@example.org", code=2).stderr
    assert "ingot users list" in ingot(data, "users", "verify", "nobody@example.org", code=1).stderr
    assert "ingot orgs list" in ingot(data, "orgs", "show", "nothing", code=1).stderr
    assert "There are:" in ingot(data, "orgs", "create", "--name", "x", "--plan", "gold", code=1).stderr
    assert "--help" in ingot(data, "orgs", "set", "org_default", code=2).stderr
    assert "cannot be deleted" in ingot(data, "orgs", "delete", "org_default", "--yes", code=1).stderr
    for _ in range(2):
        ingot(data, "orgs", "create", "--name", "Twins")
    assert "by its id" in ingot(data, "orgs", "show", "Twins", code=1).stderr
    assert "ingot users" in ingot(data, "members", "add", "org_default", "no@example.org", code=1).stderr
