"""What tells one catalog from the next, in lines for people: what a reload has changed. Credentials are never shown."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from msgspec import Struct

from ingot.catalog import Catalog, Quirks, Route, Timeouts
from ingot.config import quoted

UNLISTED: Final = frozenset({"created", "capabilities", "added"})
"""Fields that follow from others, or from the start."""


def differences(old: Catalog, new: Catalog) -> list[str]:
    """What changes from one to the other, a line each."""
    return [
        *_changes("targets", old.targets, new.targets),
        *_changes("models", old.deployments, new.deployments),
        *_changes("windows", old.windows, new.windows),
    ]


def _changes(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        place = f"{section}.{quoted(name)}"
        if name not in new:
            yield f"{place}: removed"
        elif name not in old:
            yield f"{place}: added"
        else:
            yield from (f"{place}: {line}" for line in _field_changes(old[name], new[name]))


def _field_changes(old: Any, new: Any) -> Iterator[str]:
    """`price free -> 0.15/0.6` for each field that differs; fields hidden from repr are only named."""
    for name, shown in _fields(old):
        before, after = getattr(old, name), getattr(new, name)
        if name in UNLISTED or before == after:
            continue
        if not shown:
            yield f"{name} changed"
        elif _shown(before) != _shown(after):
            yield f"{name} {_shown(before)} -> {_shown(after)}"


def _fields(row: Any) -> Iterator[tuple[str, bool]]:
    """The fields of a row by name, and whether their values may be shown."""
    if isinstance(row, Struct):
        yield from ((name, True) for name in row.__struct_fields__)
    else:
        yield from ((each.name, each.repr) for each in fields(row))


def _shown(value: Any) -> str:
    """A field's value as a diff shows it."""
    if isinstance(value, tuple | frozenset):
        parts = [_shown(each) for each in value]
        return ", ".join(sorted(parts) if isinstance(value, frozenset) else parts) or "none"
    if isinstance(value, Route):
        renamed = f"{value.target.name}/{value.model}"
        return renamed if value.weight == 1 else f"{renamed} x{value.weight}"
    if isinstance(value, Timeouts):
        return "/".join(f"{getattr(value, each.name):g}" for each in fields(value))
    if isinstance(value, Quirks):
        return repr({each.name: getattr(value, each.name) for each in fields(value)})
    return "none" if value is None else str(value)
