"""Loading: TOML text, environment and options become one checked Config, or an error with every problem.

    option of the command line  >  INGOT_* variable  >  file  >  default

Decides the order of precedence. Reads no file; credentials in files are the business of `secrets`.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from ingot.config.checks import check
from ingot.config.environment import Origins, Values, environment_values, option_values
from ingot.config.interpolation import interpolated
from ingot.config.model import Config, ModelConfig
from ingot.config.problems import ConfigError, Problem, located
from ingot.config.shape import read


def load(text: str, environ: Mapping[str, str]) -> Config:
    """The configuration in a file's text; `environ` serves its `${VAR}`s. ConfigError names all problems."""
    return _load(text, environ, {}, {}, [])


def effective(text: str, environ: Mapping[str, str], options: Mapping[str, object | None]) -> Config:
    """The configuration that counts; `options` are by dotted key (`server.port`), None where not given."""
    problems: list[Problem] = []
    values, origins = environment_values(environ, problems)
    given, given_origins = option_values(options)
    return _load(text, environ, values | given, origins | given_origins, problems)


def _load(
    text: str, environ: Mapping[str, str], values: Values, origins: Origins, problems: list[Problem]
) -> Config:
    found: list[Problem] = []
    tree = _overlaid(interpolated(_parsed(text), environ, (), found), values)
    config = read(Config, tree, found)
    if config is not None:
        targets = tree.get("targets")
        found += check(config, targets if isinstance(targets, dict) else ())
    problems += [_attributed(each, origins) for each in located(_distinct(found), text)]
    if problems or config is None:
        raise ConfigError(problems)
    return _settled(config, tree)


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=_number)
    except tomllib.TOMLDecodeError as error:
        what, line = _syntax(str(error), text)
        raise ConfigError([Problem("", f"not valid TOML: {what}", line=line)]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem("", "not valid TOML: a number or a nesting is too large")]) from error


def _syntax(message: str, text: str) -> tuple[str, int]:
    """The message of tomllib, and the line that it names in its own way."""
    place = re.search(r" \(at line (\d+), column \d+\)$", message)
    if place is None:
        return message, text.count("\n") + 1
    return message[: place.start()], int(place[1])


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None


def _overlaid(tree: dict[str, Any], values: Values) -> dict[str, Any]:
    """The tree with the values of variables and options in place of its own."""
    merged = dict(tree)
    for (section, key), value in values.items():
        table = merged.get(section, {})
        if isinstance(table, dict):
            merged[section] = {**table, key: value}
    return merged


def _distinct(problems: list[Problem]) -> list[Problem]:
    """The first problem of each place: a second one is mostly its consequence."""
    first: dict[object, Problem] = {}
    for each in problems:
        first.setdefault((each.path, each.message) if not each.path else each.path, each)
    return list(first.values())


def _attributed(each: Problem, origins: Origins) -> Problem:
    """The problem under the name of the variable or option that its value came from."""
    section, key = (*map(str, each.path[:2]), "", "")[:2]
    origin = origins.get((section, key))
    return each if origin is None else replace(each, where=origin, line=None)


def _settled(config: Config, tree: dict[str, Any]) -> Config:
    """The configuration in its one written form: addresses without a last slash, strategies named.

    Presets have a reader of their own, which is handed their numbers as exact as they were written.
    """
    targets = {
        name: msgspec.structs.replace(target, base_url=target.base_url.rstrip("/"))
        for name, target in config.targets.items()
    }
    models = {
        name: msgspec.structs.replace(model, strategy=_strategy(model))
        for name, model in config.models.items()
    }
    presets = tree.get("presets", {})
    return msgspec.structs.replace(config, targets=targets, models=models, presets=presets)


def _strategy(model: ModelConfig) -> str:
    weighted = any(route.weight is not None for route in model.routes())
    return model.strategy or ("weighted" if weighted else "ordered")
