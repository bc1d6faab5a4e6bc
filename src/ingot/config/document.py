"""Values and whole configurations as TOML text."""

import json
from decimal import Decimal
from typing import Any

import msgspec

from ingot.config.model import Config
from ingot.config.problems import quoted


def document(config: Config) -> str:
    """The configuration as a TOML file; keys without a value are left out."""
    lines: list[str] = []
    for section, table in plain(config).items():
        named = section in {"targets", "models", "windows", "presets"}
        tables = (
            {f"{section}.{quoted(name)}": each for name, each in table.items()} if named else {section: table}
        )
        for heading, each in tables.items():
            lines += [f"[{heading}]", *(f"{quoted(key)} = {toml(value)}" for key, value in each.items()), ""]
    return "\n".join(lines)


def plain(config: Config) -> dict[str, Any]:
    """The configuration as tables, lists, numbers and text; keys without a value are left out."""
    tables: dict[str, Any] = _without_none(msgspec.to_builtins(config, builtin_types=(Decimal,)))
    return tables


def simple(value: Any) -> Any:
    """The same with floating-point numbers in place of exact ones, as JSON has them."""
    if isinstance(value, dict):
        return {key: simple(each) for key, each in value.items()}
    if isinstance(value, list):
        return [simple(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value


def toml(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        inner = ", ".join(f"{quoted(key)} = {toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return text(value)
    return f"{value:f}" if isinstance(value, Decimal) else repr(value)


def text(value: str) -> str:
    """A string as TOML writes it: as JSON does, and with DEL escaped too; `${` stays literal when read again."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f").replace("${", "$${")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value
