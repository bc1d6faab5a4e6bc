"""docs/howto/money.md, as an operator would run it: its commands, in their order, on a new database."""

import os
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ingot.cli.main import app
from repository import ROOT, blocks

PAGE = ROOT / "docs" / "howto" / "money.md"


def test_page_when_its_commands_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command does what it is there for, and in the end everything adds up.

    In this process: a process for each of so many commands would take a minute.
    """
    monkeypatch.chdir(tmp_path)
    variables: dict[str, str | None] = {name: None for name in os.environ if name.startswith("INGOT_")}
    variables |= {"INGOT_DATA": str(tmp_path / "data"), "NO_COLOR": "1", "COLUMNS": "160"}
    shown = [block.text for block in blocks(PAGE, "sh") if "curl" not in block.text]
    lines = [line for text in shown for line in text.splitlines()]
    assert len(lines) > 15, "the commands were not found"
    printed = {}
    for line in ["ingot db migrate", *lines]:
        words = shlex.split(line.partition(" > ")[0])
        assert words[0] == "ingot", line
        done = CliRunner().invoke(app, words[1:], env=variables)
        assert done.exit_code == 0, f"{line}\n{done.output}"
        printed[line] = done.stdout
    assert printed["ingot ledger verify"].startswith("Everything adds up")
    assert "Of 0 stored answers 0 tell their usage" in printed["ingot ledger verify --deep"]
    exported = printed[lines[-2]].splitlines()
    assert exported[0].startswith("id,organization,kind,amount,at")
    assert [row.split(",")[2:4] for row in exported[1:]] == [
        ["topup", "25"],
        ["promo", "5"],
        ["subscription", "20"],
        ["refund", "-5"],
        ["correction", "1.25"],
    ]
