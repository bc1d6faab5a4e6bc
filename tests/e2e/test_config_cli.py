"""`ingot config` as a process: its output, its errors and its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RELAY = """
[targets.mock]
base_url = "http://127.0.0.1:9900/v1"
api_key = "${MOCK_KEY}"

[models.mock]
targets = ["mock"]
price = { input = 0.15, output = 0.60 }
"""
# The program is the group alone, so that these tests need no server.
PROGRAM = "from ingot.cli.config import app; app()"


def ingot_config(
    *arguments: str, folder: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `ingot config ARGUMENTS` in a folder, with no INGOT_* variables but those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env={**clean, "NO_COLOR": "1", **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small ingot.toml."""
    (tmp_path / "ingot.toml").write_text(RELAY, encoding="utf-8")
    return tmp_path


def test_check_when_all_is_well(folder: Path) -> None:
    """It says which file was read and what is in it; a strange variable is a warning."""
    done = ingot_config("check", folder=folder, environ={"MOCK_KEY": "k", "INGOT_PROT": "1"})
    assert (done.returncode, done.stdout) == (0, f"ok: {folder / 'ingot.toml'}: 1 target, 1 model\n")
    assert (
        done.stderr == "warning: INGOT_PROT is set, but no such option exists; did you mean `INGOT_PORT`?\n"
    )


def test_check_when_a_preset_is_wrong(folder: Path) -> None:
    """What stands in a preset, which preset a host has, and names: each with its line."""
    file = folder / "ingot.toml"
    good = file.read_text(encoding="utf-8")
    file.write_text(
        good + '[presets.ours]\nextends = "valar"\nfields = { chat = { stop = "refuse" } }\n',
        encoding="utf-8",
    )
    done = ingot_config("check", folder=folder, environ={"MOCK_KEY": "k"})
    assert done.returncode == 1
    assert "error: line 11: presets.ours.fields.chat.stop: expected" in done.stderr
    file.write_text(
        good + '[presets.valar]\n[hosts]\n"a.example.org" = "valer"\n"*.example.org" = "open"\n',
        encoding="utf-8",
    )
    done = ingot_config("check", folder=folder, environ={"MOCK_KEY": "k", "INGOT_PRESET": "opn"})
    assert "line 9: presets.valar: is the name of one that ships" in done.stderr
    assert 'line 11: hosts."a.example.org": no preset is named `valer`; did you mean `valar`?' in done.stderr
    assert 'line 12: hosts."*.example.org": must be one host name in lower case' in done.stderr
    assert "INGOT_PRESET: no preset is named `opn`; did you mean `open`?" in done.stderr


def test_check_when_there_is_no_file(tmp_path: Path) -> None:
    """The defaults are a valid configuration."""
    assert ingot_config("check", folder=tmp_path).stdout == "ok: no file, the defaults: 0 targets, 0 models\n"


def test_check_when_something_is_wrong(folder: Path) -> None:
    """Each problem is a line on stderr, and the exit code is 1."""
    done = ingot_config("check", folder=folder, environ={"INGOT_PORT": "x"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.split("\n")[:2] == [
        "error: INGOT_PORT: expected a whole number, got text",
        "error: line 4: targets.mock.api_key: the environment variable MOCK_KEY is not set",
    ]


def test_check_when_bind_is_public(folder: Path) -> None:
    """What a start would refuse is a problem here."""
    done = ingot_config("check", folder=folder, environ={"MOCK_KEY": "k", "INGOT_HOST": "0.0.0.0"})
    assert done.returncode == 1
    assert "--allow-public" in done.stderr


def test_check_when_asked_for_json(folder: Path) -> None:
    """One object holds problems, places and warnings."""
    done = ingot_config("check", "--json", folder=folder)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "ok": False,
        "problems": [
            {
                "where": "targets.mock.api_key",
                "message": "the environment variable MOCK_KEY is not set",
                "line": 4,
            }
        ],
        "warnings": [],
    }


def test_show_when_credentials_are_set(folder: Path) -> None:
    """The effective configuration is TOML again; environment and defaults are in it, credentials are not."""
    done = ingot_config("show", folder=folder, environ={"MOCK_KEY": "geheim", "INGOT_PORT": "7"})
    assert done.returncode == 0
    assert "port = 7\n" in done.stdout
    assert 'api_key = "***"' in done.stdout
    assert "price = { input = 0.15, output = 0.60 }" in done.stdout
    assert "geheim" not in done.stdout
    as_json = ingot_config("show", "--json", folder=folder, environ={"MOCK_KEY": "geheim"}).stdout
    assert json.loads(as_json)["models"]["mock"]["price"] == {"input": 0.15, "output": 0.6}
    assert "geheim" not in as_json


def test_show_when_configuration_is_wrong(folder: Path) -> None:
    """There is nothing to show then."""
    done = ingot_config("show", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "MOCK_KEY is not set" in done.stderr


def test_init_when_file_is_new(tmp_path: Path) -> None:
    """The written file is valid; it is not replaced without --force."""
    assert ingot_config("init", folder=tmp_path).returncode == 0
    assert ingot_config("check", folder=tmp_path).returncode == 0
    again = ingot_config("init", folder=tmp_path)
    assert (again.returncode, again.stderr) == (1, "ingot.toml is there already; --force replaces it\n")
    assert ingot_config("init", "--force", folder=tmp_path).returncode == 0
    assert ingot_config("init", "no/such/folder", folder=tmp_path).returncode == 1
    assert ingot_config("init", "-", folder=tmp_path).stdout == (tmp_path / "ingot.toml").read_text("utf-8")


def test_schema_and_reference_when_printed(tmp_path: Path) -> None:
    """Both are printed whole."""
    assert json.loads(ingot_config("schema", folder=tmp_path).stdout)["title"] == "ingot.toml"
    assert ingot_config("reference", folder=tmp_path).stdout.startswith("# Configuration\n")


def test_usage_when_command_is_unknown(tmp_path: Path) -> None:
    """Wrong usage is exit code 2."""
    assert ingot_config("chekc", folder=tmp_path).returncode == 2


def test_check_refuses_when_an_embedded_model_is_not_there(tmp_path: Path) -> None:
    """What a start would refuse, the check refuses."""
    (tmp_path / "ingot.toml").write_text('[models.m]\ntargets = ["engine:nope"]\nprice = "free"\n')
    ended = ingot_config("check", folder=tmp_path)
    assert ended.returncode == 1
    assert "nope" in ended.stderr
    assert "models.m.targets" in ended.stderr
