"""Every command that works on the database does so on SQLite and on PostgreSQL, and names organizations one way."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adminhouse import PASSWORD
from databases import Place
from ingot.cli.main import app


def ingot(place: Place, *words: str, code: int = 0, given: str = "", preset: str = "open") -> Result:
    """`ingot ...` in this process, without a configuration file: a process for each would take minutes."""
    variables: dict[str, str | None] = {name: None for name in os.environ if name.startswith("INGOT_")}
    variables |= {"INGOT_DATA": str(place.data), "INGOT_DATABASE": place.url, "INGOT_PRESET": preset}
    done = CliRunner().invoke(app, list(words), input=given, env=variables | {"NO_COLOR": "1"})
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def asked(place: Place, *words: str, given: str = "") -> Any:
    """What a command prints with --json."""
    return json.loads(ingot(place, *words, "--json", given=given).stdout)


@pytest.fixture
def place(backend: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty place, in whose directory no configuration lies."""
    monkeypatch.chdir(tmp_path)
    return backend


def test_people_and_keys_are_made_when_the_store_is_either(place: Place) -> None:
    """Accounts, organizations, members, plans and keys, the organization by its name throughout."""
    asked(place, "users", "create", "ada@example.org", "--password-stdin", given=PASSWORD)
    org = asked(place, "orgs", "create", "--name", "Engines", "--owner", "ada@example.org")
    assert [each["email"] for each in asked(place, "members", "list", "Engines")] == ["ada@example.org"]
    assert asked(place, "plans", "assign", "Engines", "pro") == {"org_id": org["id"], "plan": "pro"}
    made = asked(place, "keys", "create", "--name", "app", "--org", "Engines")
    assert [each["id"] for each in asked(place, "keys", "list", "--org", "Engines")] == [made["id"]]
    assert asked(place, "keys", "revoke", made["id"])["org_id"] == org["id"]
    found = {each["what"]: each for each in json.loads(_doctor(place))}
    assert found["database"]["verdict"] == "ok"
    assert place.kind in found["database"]["detail"]


def test_money_moves_when_the_store_is_either(place: Place) -> None:
    """Credit, codes, budgets, subscriptions, ledger and usage of an organization that is named by its name."""
    org = asked(place, "orgs", "create", "--name", "Engines")["id"]
    named = ("--org", "Engines")
    paid = asked(place, "credits", "add", *named, "--amount", "10", "--reference", "pi_1")
    assert (paid["balance"], paid["entry"]["organization"]) == ("10", org)
    assert asked(place, "credits", "refund", "topup:pi_1", "--amount", "4")["balance"] == "6"
    assert asked(place, "credits", "correct", *named, "--amount", "-1", "--note", "a slip")["balance"] == "5"
    code = asked(place, "promo", "create", "--amount", "2")["code"]
    assert asked(place, "promo", "redeem", code, *named)["balance"] == "7"
    budget = asked(place, "budgets", "set", *named, "--cap", "3")
    assert [each["id"] for each in asked(place, "budgets", "list", *named)] == [budget["id"]]
    assert asked(place, "subscriptions", "start", *named, "--plan", "pro")["organization"] == org
    assert asked(place, "credits", "show", *named)["standing"]["available"] == "7"
    assert len(asked(place, "ledger", "list", *named)) == 4
    assert asked(place, "ledger", "verify")["ok"]
    assert len(ingot(place, "ledger", "export", *named, "--format", "jsonl").stdout.splitlines()) == 4
    assert asked(place, "usage", *named)["summary"]["balance"] == 700.0


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "create", "-n", "x", "--org"),
        ("plans", "assign", "--json"),
        ("credits", "show", "--org"),
        ("budgets", "list", "--org"),
        ("usage", "--org"),
        ("orgs", "show"),
    ],
)
def test_name_is_refused_when_several_have_it(place: Place, command: tuple[str, ...]) -> None:
    """With the ids to choose from; and one that nobody has, with where to look."""
    ids = [asked(place, "orgs", "create", "--name", "Twins")["id"] for _ in range(2)]
    rest = ("pro",) if command[0] == "plans" else ()
    told = ingot(place, *command, "Twins", *rest, code=1).stderr
    assert all(each in told for each in ids)
    assert "ingot orgs list" in ingot(place, *command, "Nobody", *rest, code=1).stderr


def test_key_is_the_presets_when_one_is_configured(place: Place) -> None:
    """Prefix and number of keys are what `ingot serve` would have: `mk`, and three."""
    for _ in range(3):
        made = ingot(place, "keys", "create", "--name", "app", preset="aurora")
        assert made.stdout.startswith("mk_live_")
    refused = ingot(place, "keys", "create", "--name", "app", preset="aurora", code=1)
    assert "Revoke one" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "revoke", "x"),
        ("plans", "list"),
        ("orgs", "show", "x"),
        ("users", "verify", "a@example.org"),
        ("credits", "show"),
        ("promo", "list"),
        ("budgets", "list"),
        ("subscriptions", "list"),
        ("ledger", "verify"),
        ("usage",),
    ],
)
def test_nothing_is_made_when_there_is_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Every command says so in the same words."""
    monkeypatch.chdir(tmp_path)
    nowhere = Place("sqlite", tmp_path / "data", "")
    told = ingot(nowhere, *words, code=1).stderr
    assert told == f"ingot: there is no database in {nowhere.data}; name the data directory with --data DIR\n"
    assert not nowhere.data.exists()


def _doctor(place: Place) -> str:
    """What `ingot doctor` prints, whatever it thinks of this machine's engine."""
    variables = {"INGOT_DATA": str(place.data), "INGOT_DATABASE": place.url, "INGOT_ENGINE__ENABLED": "false"}
    return CliRunner().invoke(app, ["doctor", "--json"], env=variables).stdout
