"""Constitutions: the files of principles that models carry, read with the configuration.

`constitution = "FILE"` is relative to the configuration's own directory; `bundled:NAME` is one that ships. What was read
stands beside the configuration, by model, so that a path can never be taken for the text.
"""

import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ingot.config.model import Config
from ingot.config.problems import ConfigError, Problem, problem
from ingot.config.reading import read_beginning

BUNDLED: Final = "bundled:"
SHIPPED: Final = ("aurora",)
LARGEST: Final = 32_768
"""Bytes: each request carries them."""


def read_constitutions(config: Config, directory: Path) -> Mapping[str, str]:
    """The text of each model's constitution; ConfigError names all that cannot be used."""
    problems: list[Problem] = []
    found: dict[str, str] = {}
    for name, model in config.models.items():
        if model.constitution is None:
            continue
        try:
            found[name] = _text(model.constitution, directory)
        except ValueError as error:
            problems.append(problem(("models", name, "constitution"), str(error)))
    if problems:
        raise ConfigError(problems)
    return found


def _text(where: str, directory: Path) -> str:
    """The text of one; ValueError says what is wrong."""
    if where.startswith(BUNDLED):
        data = _shipped(where.removeprefix(BUNDLED))
    else:
        _, _, data = read_beginning(directory, where, most=LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"is larger than {LARGEST:,} bytes; every request would carry it")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start})") from error
    if not text:
        raise ValueError("is empty")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text.replace("\r\n", "\n")):
        raise ValueError("holds a control character; it must be plain text")
    return text.replace("\r\n", "\n")


def _shipped(name: str) -> bytes:
    data = pkgutil.get_data("ingot", f"constitutions/{name}.md") if name in SHIPPED else None
    if data is None:
        raise ValueError(f"no constitution of that name ships; known here: {', '.join(SHIPPED)}")
    return data
