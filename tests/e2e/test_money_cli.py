"""The commands about money as an operator runs them, on a real data directory."""

import asyncio
import csv
import io
import json
import os
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from ingot.cli.main import app
from ingot.store.engine import open_database
from ingot.store.schema import balances, responses
from treasury import Treasury


def _environ(data: Path) -> dict[str, str | None]:
    own: dict[str, str | None] = {name: None for name in os.environ if name.startswith("INGOT_")}
    return own | {"INGOT_DATA": str(data), "NO_COLOR": "1", "COLUMNS": "200"}


def _ingot(data: Path, *arguments: str, code: int = 0) -> Result:
    """`ingot ...`, in this process: a process each would take a second each."""
    done = CliRunner().invoke(app, arguments, env=_environ(data))
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with an organization `acme`, which prepays."""
    folder = tmp_path / "data"

    async def prepare() -> None:
        async with open_database(folder) as db:
            await Treasury(db).organization("acme")

    asyncio.run(prepare())
    return folder


def test_commands_when_there_is_no_database(tmp_path: Path) -> None:
    """They say where they looked, and make none."""
    done = _ingot(tmp_path / "none", "ledger", "verify", code=1)
    assert "no database in" in done.stderr
    assert not (tmp_path / "none").exists()


def test_commands_when_nothing_was_done_yet(data: Path) -> None:
    """An empty list says what to run, as JSON it is empty."""
    for command, told in (
        (["ledger", "list"], "ingot credits add"),
        (["promo", "list"], "ingot promo create"),
        (["budgets", "list"], "ingot budgets set"),
        (["subscriptions", "list"], "ingot subscriptions start"),
    ):
        assert told in _ingot(data, *command).stdout
        assert json.loads(_ingot(data, *command, "--json").stdout) == []
    assert "ingot credits add --org acme" in _ingot(data, "credits", "show", "--org", "acme").stdout
    assert "Everything adds up" in _ingot(data, "ledger", "verify").stdout


def test_credits_when_paid_spent_and_mended(data: Path) -> None:
    """Amounts are exact decimals all the way; a reference counts once; more than there is cannot be taken."""
    org = ("--org", "acme")
    added = _ingot(
        data, "credits", "add", *org, "--amount", "12.500000000001", "--reference", "inv-1", "--json"
    )
    assert json.loads(added.stdout)["balance"] == "12.500000000001"
    again = _ingot(data, "credits", "add", *org, "--amount", "12.500000000001", "--reference", "inv-1")
    assert "was there already" in again.stdout
    assert (
        "is in the ledger already"
        in _ingot(data, "credits", "add", *org, "--amount", "1", "--reference", "inv-1", code=1).stderr
    )
    assert "is not an amount in USD" in _ingot(data, "credits", "add", *org, "--amount", "1e3", code=2).stderr
    _ingot(data, "credits", "correct", *org, "--amount", "-2.5", "--note", "a slip")
    _ingot(data, "credits", "correct", *org, "--amount", "-11", "--note", "a slip", code=1)
    _ingot(data, "credits", "refund", "topup:inv-1", "--amount", "3")
    shown = json.loads(_ingot(data, "credits", "show", *org, "--json").stdout)
    assert shown["standing"]["available"] == "7.000000000001"
    assert shown["sums"] == {"correction": "-2.5", "refund": "-3", "topup": "12.500000000001"}
    assert "available" in _ingot(data, "credits", "show", *org).stdout

    listed = json.loads(_ingot(data, "ledger", "list", "--kind", "refund", "--json").stdout)
    assert [(each["amount"], each["refers_to"]) for each in listed] == [("-3", "topup:inv-1")]
    assert "topup:inv-1" in _ingot(data, "ledger", "list", *org).stdout
    assert "the kinds are" in _ingot(data, "ledger", "list", "--kind", "gift", code=2).stderr
    table = list(csv.DictReader(io.StringIO(_ingot(data, "ledger", "export", *org).stdout)))
    assert [row["amount"] for row in table] == ["12.500000000001", "-2.5", "-3"]
    lines = _ingot(data, "ledger", "export", "--format", "jsonl", "--to", "2001-01-01").stdout
    assert lines == ""
    assert "as 2026-11-01" in _ingot(data, "ledger", "export", "--from", "yesterday", code=2).stderr
    backwards = ("--from", "2026-11-02", "--to", "2026-11-01")
    for command in ("export", "list"):
        assert "lies before --from" in _ingot(data, "ledger", command, *backwards, code=2).stderr
    assert json.loads(_ingot(data, "ledger", "verify", "--json").stdout)["ok"] is True


def test_verify_says_what_it_read(data: Path) -> None:
    """Answers are read where that is asked for, and it is said what was not compared."""

    async def answer() -> None:
        async with open_database(data) as db:
            treasury = Treasury(db)
            calls = [treasury.call(5, org_id="acme") for _ in range(3)]
            await treasury.settle(*calls)
            for call, content in zip(calls, (b'{"usage":{"prompt_tokens":5}}', b"data: 1"), strict=False):
                own = responses.c.id == call.id
                await treasury.execute(update(responses).where(own).values(answer=content))

    asyncio.run(answer())
    assert "`--deep` reads them" in _ingot(data, "ledger", "verify").stdout
    told = _ingot(data, "ledger", "verify", "--deep").stdout
    assert "Of 2 stored answers 1 tell their usage, and it is their rows'; 1 tell none." in told
    deep, plain = (
        json.loads(_ingot(data, "ledger", "verify", "--json", *more).stdout) for more in (["--deep"], [])
    )
    assert (deep["answers"], plain["answers"]) == ({"read": 2, "told": 1}, None)


def test_verify_when_something_does_not_add_up(data: Path) -> None:
    """It names what is wrong and exits with 1."""

    async def harm() -> None:
        async with open_database(data) as db:
            await Treasury(db).execute(update(balances).where(balances.c.org_id == "acme").values(balance=5))

    asyncio.run(harm())
    done = _ingot(data, "ledger", "verify", code=1)
    assert "sums: acme: the balance is 0.000000000005 USD, but its rows add up to 0 USD" in done.stdout
    told = json.loads(_ingot(data, "ledger", "verify", "--json", code=1).stdout)
    assert (told["ok"], told["wrong"], told["findings"][0]["id"]) == (False, {"sums": 1}, "acme")


def test_promo_budget_and_subscription_when_they_come_and_go(data: Path) -> None:
    """Each is made, seen, used and ended by commands alone."""
    made = _ingot(
        data, "promo", "create", "--amount", "5", "--code", "hello", "--expires", "30d", "--most-uses", "1"
    )
    assert made.stdout == "HELLO\n"
    assert (
        "5 USD and has a balance of 5 USD" in _ingot(data, "promo", "redeem", "hello", "--org", "acme").stdout
    )
    assert "once" in _ingot(data, "promo", "redeem", "hello", "--org", "acme", code=1).stderr
    assert "used 1 times" in _ingot(data, "promo", "end", "hello").stdout
    assert json.loads(_ingot(data, "promo", "list", "--json").stdout) == []
    assert "HELLO" in _ingot(data, "promo", "list", "--all").stdout

    budget = json.loads(_ingot(data, "budgets", "set", "--org", "acme", "--cap", "100", "--json").stdout)
    assert (budget["period"], budget["left"]) == ("month", "100")
    assert "50 USD a month" in _ingot(data, "budgets", "set", "--org", "acme", "--cap", "50").stdout
    assert budget["id"] in _ingot(data, "budgets", "list").stdout
    _ingot(data, "budgets", "end", budget["id"], "--org", "acme")
    assert "no such budget" in _ingot(data, "budgets", "end", budget["id"], "--org", "acme", code=1).stderr

    assert "plan_pro" in _ingot(data, "subscriptions", "start", "--org", "acme", "--plan", "pro").stdout
    assert (
        "cancel it" in _ingot(data, "subscriptions", "start", "--org", "acme", "--plan", "pro", code=1).stderr
    )
    assert "ends" in _ingot(data, "subscriptions", "cancel", "--org", "acme").stdout
    listed = json.loads(_ingot(data, "subscriptions", "list", "--org", "acme", "--json").stdout)
    assert listed[0]["cancelled_at"] is not None
    assert "cancelled" in _ingot(data, "subscriptions", "list").stdout
    assert "no organization" in _ingot(data, "credits", "show", "--org", "nobody", code=1).stderr
