"""The presets that ship, and how a preset's text becomes one: read, put on top of what it extends, checked, resolved.

Reads what lies beside this module in the package and nothing else. A table is merged key by key with the one below
it; a row (a plan, an error), a rule on a field, a list and a plain value take the place of what was there.
"""

import pkgutil
import re
import tomllib
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final

from ingot.config.problems import ConfigError, Problem, located, problem
from ingot.config.shape import nearest, read
from ingot.presets.checks import check
from ingot.presets.preset import Preset, resolve
from ingot.presets.sections import PresetFile

Tree = dict[str, Any]

NAMES: Final = ("open", "valley", "aurora", "aurora-v2", "metask", "valar")
_MERGED_DEPTH: Final = 2
"""`fields.chat` is merged with the one below it, `fields.chat.max_tokens` takes its place."""

_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")


def names() -> tuple[str, ...]:
    """The presets that ship, the default first."""
    return NAMES


@cache
def load(name: str) -> Preset:
    """A preset that ships; ConfigError where there is none of that name."""
    if name not in NAMES:
        raise ConfigError.at("preset", f"no preset is named `{name}`{nearest(name, NAMES)}")
    return parse(name, _text(name))


def parse(name: str, text: str) -> Preset:
    """The preset in a file's text; ConfigError names all that is wrong with it, with lines."""
    own = _parsed(text)
    problems: list[Problem] = []
    tree = _extended(own, problems)
    file = read(PresetFile, tree, problems)
    if file is not None and not problems:
        problems += check(file)
    if problems or file is None:
        raise ConfigError(located(_causes(problems), text))
    return resolve(name, file, tree)


def _causes(problems: list[Problem]) -> list[Problem]:
    """The problems without those that only follow: a table counts as missing when what it holds is wrong."""
    return [
        each
        for each in problems
        if each.message != "is missing"
        or not any(
            len(other.path) > len(each.path) and other.path[: len(each.path)] == each.path
            for other in problems
        )
    ]


def _text(name: str) -> str:
    data = pkgutil.get_data(__package__ or "", f"{name}.toml")
    if data is None:
        raise FileNotFoundError(f"{name}.toml is missing from the package")
    return data.decode()


def _parsed(text: str) -> Tree:
    try:
        return tomllib.loads(text, parse_float=_number)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _LINE.search(message)
        what = message[: place.start()] if place else message
        raise ConfigError(
            [Problem("", f"not valid TOML: {what}", line=int(place[1]) if place else None)]
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem("", "not valid TOML: a number or a nesting is too large")]) from error


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None


def _extended(own: Tree, problems: list[Problem]) -> Tree:
    """The tree on top of the one that it extends; those that ship extend each other without end in none."""
    base = own.get("extends")
    if base is None:
        return own
    if base not in NAMES:
        problems.append(problem(("extends",), f"no preset is named `{base}`{nearest(str(base), NAMES)}"))
        return own
    return _merged(_extended(_parsed(_text(base)), problems), own, depth=1)


def _merged(base: Tree, own: Tree, *, depth: int) -> Tree:
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        if depth <= _MERGED_DEPTH and isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merged(below, value, depth=depth + 1)
        else:
            merged[key] = value
    return merged
