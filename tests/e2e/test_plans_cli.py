"""`ingot plans` as a user runs it: real processes on a real data directory."""

import json
import os
import subprocess
import sys
from pathlib import Path


def _plans(data: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """`ingot plans ...` in a directory without a configuration."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    done = subprocess.run(
        [sys.executable, "-m", "ingot", "plans", *arguments],
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


def test_plan_lives_when_the_command_line_says_so(tmp_path: Path) -> None:
    """Created, changed, shown, assigned, archived; what ships is there, and amounts are exact."""
    data = tmp_path / "data"
    options = ("--rpm", "60", "--keys", "5", "--models", "a,b", "--monthly-price", "19.99")
    made = json.loads(_plans(data, "create", "team", *options, "--json").stdout)
    assert (made["rpm"], made["tpm"], made["models"]) == (60, None, ["a", "b"])
    assert (made["monthly_price"], made["price_factor"]) == ("19.99", "1")
    changes = (
        "--rpm",
        "none",
        "--models",
        "all",
        "--price-factor",
        "0.8",
        "--monthly-credits",
        "0.000000000001",
    )
    _plans(data, "set", "team", *changes, "--weight", "2")
    shown = json.loads(_plans(data, "show", "team", "--json").stdout)
    assert (shown["rpm"], shown["keys"], shown["models"], shown["weight"]) == (None, 5, None, 2)
    assert (shown["price_factor"], shown["monthly_credits"]) == ("0.8", "0.000000000001")
    assert "org_default is on the plan team" in _plans(data, "assign", "org_default", "team").stdout
    _plans(data, "archive", "team")
    table = _plans(data, "list").stdout
    assert "team (archived)" in table
    names = [plan["name"] for plan in json.loads(_plans(data, "list", "--json").stdout)]
    assert names == ["free", "operator", "pro", "team"]


def test_reason_is_told_when_a_plan_command_cannot_be_done(tmp_path: Path) -> None:
    """Each fault is one line on stderr and a code, never a traceback."""
    data = tmp_path / "data"
    assert "no database" in _plans(data, "set", "free", "--rpm", "6", code=1).stderr
    assert not data.exists()
    assert "whole number" in _plans(data, "create", "x", "--rpm", "many", code=2).stderr
    assert "not a factor" in _plans(data, "create", "x", "--price-factor", "-1", code=2).stderr
    assert "amount in USD" in _plans(data, "create", "x", "--monthly-price", "5 EUR", code=2).stderr
    assert "lower-case" in _plans(data, "create", "Gold", code=1).stderr
    assert "lies between 1 and" in _plans(data, "create", "gold", "--rpm", "0", code=1).stderr
    assert not data.exists()
    _plans(data, "create", "silver")
    assert "no plan named" in _plans(data, "show", "gold", code=1).stderr
