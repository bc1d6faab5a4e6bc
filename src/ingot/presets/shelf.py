"""The presets that ship, and how a preset's text becomes one: read, put on top of what it extends, checked, resolved.

Reads what lies beside this module in the package and nothing else; presets of the configuration are handed in. A table
is merged key by key with the one below it; a row (a plan, an error), a rule on a field, a list and a plain value take
the place of what was there.
"""

import pkgutil
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final

from ingot.config.problems import ConfigError, Path, Problem, dotted, located, problem
from ingot.config.server import PRESETS
from ingot.config.shape import nearest, read
from ingot.presets.checks import check
from ingot.presets.preset import Preset, resolve
from ingot.presets.sections import PresetFile

Tree = dict[str, Any]

_NONE: Final[Mapping[str, Tree]] = {}
_MERGED_DEPTH: Final = 2
"""`fields.chat` is merged with the one below it, `fields.chat.max_tokens` takes its place."""

_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")


def names() -> tuple[str, ...]:
    """The presets that ship, the default first."""
    return PRESETS


def load(name: str, own: Mapping[str, Tree] = _NONE) -> Preset:
    """A preset that ships, or one of `own`, by name; ConfigError where there is none, or where it is wrong."""
    if name in PRESETS:
        return _shipped(name)
    if name not in own:
        known = (*PRESETS, *own)
        raise ConfigError.at("preset", f"no preset is named `{name}`{nearest(name, known)}")
    preset, problems = _resolved(name, own[name], own)
    if preset is None:
        raise ConfigError([_below(("presets", name), each) for each in problems])
    return preset


def load_all(names: Iterable[str], own: Mapping[str, Tree]) -> dict[str, Preset]:
    """`load` for each name, by name; ConfigError names all that is wrong with all of `own`."""
    found = {name: _resolved(name, tree, own) for name, tree in own.items()}
    problems = [_below(("presets", name), each) for name, (_, wrong) in found.items() for each in wrong]
    if problems:
        raise ConfigError(problems)
    known = {name: preset for name, (preset, _) in found.items() if preset and name not in PRESETS}
    return {name: known[name] if name in known else load(name, own) for name in names}


def parse(name: str, text: str) -> Preset:
    """The preset in a file's text; ConfigError names all that is wrong with it, with lines."""
    preset, problems = _resolved(name, _parsed(text), _NONE)
    if preset is None:
        raise ConfigError(located(problems, text))
    return preset


@cache
def _shipped_tree(name: str) -> Tree:
    """Read once; what extends it is put on top of copies."""
    return _parsed(_text(name))


@cache
def _shipped(name: str) -> Preset:
    return parse(name, _text(name))


def _resolved(name: str, own: Tree, shelf: Mapping[str, Tree]) -> tuple[Preset | None, list[Problem]]:
    """The preset of a tree, or what is wrong with it."""
    problems: list[Problem] = []
    tree = _extended(own, problems, shelf, below=(name,) if name in shelf else ())
    file = read(PresetFile, tree, problems)
    if file is not None and not problems:
        problems += check(file)
    if problems or file is None:
        return None, _causes(problems)
    return resolve(name, file, tree), []


def _below(path: Path, each: Problem) -> Problem:
    """The problem as one of the whole configuration."""
    whole = (*path, *each.path)
    return replace(each, path=whole, where=dotted(whole))


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


def _extended(
    own: Tree, problems: list[Problem], shelf: Mapping[str, Tree], *, below: tuple[str, ...]
) -> Tree:
    """The tree on top of the one that it extends; `below` names those that it is a part of."""
    base = own.get("extends")
    if base is None:
        return own
    if not isinstance(base, str) or base not in (*PRESETS, *shelf):
        known = (*PRESETS, *shelf)
        problems.append(problem(("extends",), f"no preset is named `{base}`{nearest(str(base), known)}"))
        return own
    if base in below:
        circle = " -> ".join((*below[below.index(base) :], base))
        problems.append(problem(("extends",), f"presets extend each other in a circle: {circle}"))
        return own
    tree = shelf[base] if base in shelf else _shipped_tree(base)
    return _merged(_extended(tree, problems, shelf, below=(*below, base)), own, depth=1)


def _merged(base: Tree, own: Tree, *, depth: int) -> Tree:
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        if depth <= _MERGED_DEPTH and isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merged(below, value, depth=depth + 1)
        else:
            merged[key] = value
    return merged
