"""Reading fields of a client's body that another module has checked, or not.

Decides nothing about what a field means: a field of the wrong type is an error that names it.
"""

from collections.abc import Mapping
from typing import Any

from ingot.dialects.codecs.checks import NUMBER, Json, wrong


def text(value: Mapping[str, Any], name: str, *, path: str = "") -> str | None:
    """A string; None where it is absent or null."""
    held = _field(value, name, str, path)
    return held if held is None else str(held)


def integer(value: Mapping[str, Any], name: str, *, path: str = "") -> int | None:
    held = _field(value, name, int, path)
    return held if held is None else int(held)


def number(value: Mapping[str, Any], name: str) -> float | None:
    held = value.get(name)
    if held is None or type(held) in NUMBER:
        return held
    raise wrong(held, NUMBER, path=name)


def switch(value: Mapping[str, Any], name: str, *, path: str = "") -> bool | None:
    held = _field(value, name, bool, path)
    return held if held is None else bool(held)


def members(value: Mapping[str, Any], name: str, *, path: str = "") -> Json | None:
    """An object; None where it is absent or null."""
    held: Json | None = _field(value, name, dict, path)
    return held


def texts(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of strings; empty where it is absent or null."""
    held = _field(value, name, list, "") or ()
    for index, each in enumerate(held):
        if type(each) is not str:
            raise wrong(each, str, path=f"{name}[{index}]")
    return tuple(held)


def _field(value: Mapping[str, Any], name: str, kind: type, path: str) -> Any:
    held = value.get(name)
    if held is None or type(held) is kind:
        return held
    raise wrong(held, kind, path=f"{path}.{name}" if path else name)
