"""`${VAR}` and `${VAR:-default}` in the strings of a configuration, after the TOML was parsed.

A value from the environment is therefore never read as TOML. `$${` stands for a literal `${`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingot.config.problems import Path, Problem, problem
from ingot.config.shape import DEEPEST, suggestion

REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")


def interpolated(value: Any, environ: Mapping[str, str], path: Path, problems: list[Problem]) -> Any:
    """The tree with the references in its strings replaced; missing variables are added to `problems`."""
    if len(path) > DEEPEST:
        return value  # refused later, by the reader of shapes
    if isinstance(value, str):
        return _text(value, environ, path, problems) if "${" in value else value
    if isinstance(value, dict):
        return {key: interpolated(each, environ, (*path, key), problems) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, environ, (*path, index), problems) for index, each in enumerate(value)]
    return value


def _text(text: str, environ: Mapping[str, str], path: Path, problems: list[Problem]) -> str:
    def replacement(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match[0] == "$${":
            return "${"
        if name is None:
            problems.append(
                problem(path, "has a ${ that is not ${NAME} or ${NAME:-default}; $${ is a plain ${")
            )
            return match[0]
        value = environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            hint = suggestion(name, environ)
            problems.append(problem(path, f"the environment variable {name} is not set{hint}"))
            return match[0]
        return value

    return REFERENCE.sub(replacement, text)
