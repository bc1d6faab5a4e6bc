"""Imports point down: the contract in pyproject.toml holds, and it would notice if it did not."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from repository import ROOT

LINT = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the package below `folder`, by this repository's contract."""
    return subprocess.run(
        [LINT, "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def modules() -> list[str]:
    """The modules of the package's first level."""
    package = ROOT / "src" / "ingot"
    return [
        path.stem
        for path in sorted(package.iterdir())
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    ]


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """A package with the modules of ours, all of them empty."""
    package = tmp_path / "ingot"
    package.mkdir()
    for name in ("__init__", *modules()):
        (package / f"{name}.py").write_text("")
    return tmp_path


def test_imports_point_down() -> None:
    """Every import of the package obeys the layers."""
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout


def test_the_contract_holds_for_a_package_without_imports(skeleton: Path) -> None:
    """The next two tests fail for the reason that they name."""
    result = lint(skeleton)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("errors", "web"),
        ("dialects", "store"),
        ("store", "upstream"),
        ("services", "web"),
        ("web", "app"),
        ("conformance", "services"),
    ],
)
def test_the_contract_breaks_when_a_lower_layer_imports_a_higher_one(
    skeleton: Path, lower: str, upper: str
) -> None:
    """A layer that imports what stands above or beside it is reported by name."""
    (skeleton / "ingot" / f"{lower}.py").write_text(f"import ingot.{upper}\n")
    result = lint(skeleton)
    assert result.returncode == 1
    assert f"ingot.{lower} -> ingot.{upper}" in result.stdout


def test_the_contract_breaks_when_a_module_has_no_layer(skeleton: Path) -> None:
    """A new module must be given its place."""
    (skeleton / "ingot" / "newcomer.py").write_text("")
    result = lint(skeleton)
    assert result.returncode == 1
    assert "ingot.newcomer" in result.stdout


def test_modules_without_a_layer_are_few_and_named() -> None:
    """What the contract leaves out is the start file and the folder of weights."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = config["tool"]["importlinter"]["contracts"][0]
    assert contract["exhaustive"] is True
    assert set(contract["exhaustive_ignores"]) == {"__main__", "models"}
    assert shutil.which(LINT), "import-linter is not installed beside this Python"
