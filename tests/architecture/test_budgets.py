"""Budgets that make the next split obvious: 400 lines a file, 60 a function; ruff counts complexity (12)."""

import tomllib

from repository import CODE, ROOT, functions, python_files, shown

FILE_LINES = 400
FUNCTION_LINES = 60
COMPLEXITY = 12


def test_no_file_is_longer_than_its_budget() -> None:
    """Every Python file has at most 400 lines."""
    lengths = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*CODE)
    }
    assert len(lengths) > 100, "the files were not found"
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_is_longer_than_its_budget() -> None:
    """Every function has at most 60 lines, its docstring included."""
    long = {
        f"{shown(path)}:{function.lineno} {function.name}": lines
        for path in python_files(*CODE)
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


def test_complexity_is_checked_by_the_linter() -> None:
    """The linter selects its complexity rule, at 12, and nothing switches it off."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert lint["mccabe"]["max-complexity"] == COMPLEXITY
    switched_off = [*lint["ignore"], *(rule for rules in lint["per-file-ignores"].values() for rule in rules)]
    assert not {"C", "C9", "C90", "C901"} & set(switched_off)
