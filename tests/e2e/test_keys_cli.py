"""`ingot keys` as a user runs it: real processes on a real data directory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingot.clock import ManualClock
from ingot.errors import Unauthenticated
from ingot.services.keys import STALE_SECONDS, KeyRing
from ingot.store.engine import open_database


class _Silent:
    def debug(self, event: str, **fields: Any) -> None:
        """Nothing is expected to be said here."""
        raise AssertionError(event, fields)

    info = warning = error = debug


def _keys(data: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """`ingot keys ...` in a directory without a configuration."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    done = subprocess.run(
        [sys.executable, "-m", "ingot", "keys", *arguments],
        env=environ | {"INGOT_DATA": str(data), "NO_COLOR": "1", "COLUMNS": "160"},
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


async def test_key_lives_and_ends_when_the_command_line_says_so(tmp_path: Path) -> None:
    """Create, use, list, revoke: a server that runs meanwhile knows of each within 5 seconds."""
    data = tmp_path / "data"
    assert "ingot keys create" in _keys(data, "list").stdout
    assert not data.exists()

    made = json.loads(_keys(data, "create", "--name", "my [bold]app", "--json").stdout)
    assert set(made) == {"id", "name", "key", "created_at"}
    clock = ManualClock(made["created_at"] + 1.0)
    async with open_database(data) as db:
        ring = await KeyRing.open(db, data, log=_Silent(), clock=clock)
        token = made["key"].encode()
        assert (await ring.authenticate(token)).key_id == made["id"]

        plain = _keys(data, "create", "--name", "guest", "--expires", "30d")
        assert plain.stdout.startswith("ik_live_")
        assert plain.stdout.count("\n") == 1
        assert "only time" in plain.stderr
        assert (await ring.authenticate(plain.stdout.strip().encode())).name == "guest"

        listed = json.loads(_keys(data, "list", "--json").stdout)
        assert [info["name"] for info in listed] == ["my [bold]app", "guest"]
        assert made["key"] not in json.dumps(listed)

        assert "revoked my [bold]app" in _keys(data, "revoke", made["id"]).stdout
        clock.advance(STALE_SECONDS)
        with pytest.raises(Unauthenticated, match="revoked"):
            await ring.authenticate(token)
        await ring.close()

    table = _keys(data, "list").stdout
    assert "my [bold]app" in table
    assert "revoked 20" in table
    assert "live until" in table
    assert made["key"] not in table


def test_limits_are_kept_when_a_key_is_made_with_them(tmp_path: Path) -> None:
    """Models, rates, a cap and the scope are in the list, the cap exact; what is no amount is wrong usage."""
    data = tmp_path / "data"
    configured(tmp_path)
    options = ("--models", "a, b", "--rpm", "5", "--tpm", "900", "--cap", "12.500000000001", "--admin")
    _keys(data, "create", "--name", "app", *options)
    (info,) = json.loads(_keys(data, "list", "--org", "org_default", "--json").stdout)
    assert (info["models"], info["rpm"], info["tpm"]) == (["a", "b"], 5, 900)
    assert (info["cap"], info["scope"], info["org_id"]) == ("12.500000000001", "admin", "org_default")
    assert json.loads(_keys(data, "list", "--org", "org_other", "--json").stdout) == []
    assert "12 decimals" in _keys(data, "create", "-n", "x", "--cap", "0.0000000000001", code=2).stderr
    assert "no organization" in _keys(data, "create", "-n", "x", "--org", "org_nobody", code=1).stderr
    assert "no member" in _keys(data, "create", "-n", "x", "--user", "a@example.org", code=1).stderr


def test_model_is_named_when_there_is_none_of_that_name(tmp_path: Path) -> None:
    """With the nearest one, and with the configuration that was read; nothing is made."""
    data = tmp_path / "data"
    create = ("create", "--name", "app", "--models")
    alone = _keys(data, *create, "demo-tinny", code=1).stderr
    assert "There is no model `demo-tinny`" in alone
    assert "no configuration file; --config names the server's" in alone
    configured(tmp_path)
    told = _keys(data, *create, "large-model,lage-model", code=1).stderr
    assert "There is no model `lage-model`; did you mean `large-model`?" in told
    assert str(tmp_path / "ingot.toml") in told
    assert not (data / "ingot.db").exists()
    _keys(data, *create, "large-model")


def configured(folder: Path) -> None:
    """A configuration with three models in the directory where the commands run."""
    models = "".join(
        f'[models.{name}]\ntargets = ["up"]\nprice = "free"\n' for name in ("a", "b", "large-model")
    )
    (folder / "ingot.toml").write_text(
        f'[engine]\nenabled = false\n[targets.up]\nbase_url = "http://127.0.0.1:9"\n{models}'
    )


def test_key_is_replaced_when_rolled(tmp_path: Path) -> None:
    """The new key is printed once; a second roll within the day needs to be forced."""
    data = tmp_path / "data"
    old = json.loads(_keys(data, "create", "--name", "app", "--json").stdout)
    rolled = _keys(data, "roll", old["id"])
    assert rolled.stdout.startswith("ik_live_")
    assert rolled.stdout.strip() != old["key"]
    assert "replaced, live until" in _keys(data, "list").stdout
    assert "is valid until" in _keys(data, "roll", "app", code=1).stderr
    again = json.loads(_keys(data, "roll", "app", "--force", "--json").stdout)
    assert again["name"] == "app"
    _keys(data, "revoke", "app")
    assert all(info["revoked_at"] for info in json.loads(_keys(data, "list", "--json").stdout))


def test_reason_is_told_when_a_command_cannot_be_done(tmp_path: Path) -> None:
    """Each fault is one line on stderr and a code, never a traceback."""
    data = tmp_path / "data"
    assert "no database" in _keys(data, "revoke", "nobody", code=1).stderr
    assert "lifetime" in _keys(data, "create", "--name", "x", "--expires", "soon", code=2).stderr
    data.write_text("")
    refused = _keys(data, "create", "--name", "x", code=1)
    assert "not a directory" in refused.stderr
    assert refused.stdout == ""
