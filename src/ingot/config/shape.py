"""From decoded TOML to records: types, ranges, unknown and missing keys.

msgspec's own conversion stops at the first mistake; this one walks msgspec's type descriptions and collects
them all, with texts for people. Decides what a single value may be. Refuses to know what keys mean together.
"""

import datetime as dt
import difflib
import math
import operator
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect

from ingot.config.problems import Path, Problem, problem

BAD: Final = object()  # what a reader returns after it has reported a problem
MOST_LISTED: Final = 16
MOST_COMPARED: Final = 200
LONGEST_SHOWN: Final = 60
DEEPEST: Final = 32  # levels of tables and lists; dotted keys nest without end at no cost to their writer

Reader = Callable[..., Any]  # (its kind, a value that matches it, where, problems) -> the value or BAD
T = TypeVar("T", bound=msgspec.Struct)


def read(cls: type[T], value: object, problems: list[Problem]) -> T | None:
    """The record of `cls` in `value`; what is wrong is added to `problems` and left out or defaulted."""
    record = _convert(inspect.type_info(cls), value, (), problems)
    return None if record is BAD else cast("T", record)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` as the end of a message, or nothing."""
    close = difflib.get_close_matches(name[:MOST_COMPARED], sorted(known)[:MOST_COMPARED], n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message: the known name that was meant, or all known names, or nothing if they are many."""
    names = sorted(known)
    listed = f"; known here: {', '.join(names)}" if 0 < len(names) <= MOST_LISTED else ""
    return suggestion(name, names) or listed


def clipped(value: object) -> str:
    """A value as it may be shown in a message."""
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def unwrapped(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """A type without its metadata, and our own part of the metadata."""
    if isinstance(kind, inspect.Metadata):
        return kind.type, kind.extra or {}
    return kind, {}


def expected(kind: inspect.Type) -> str:
    """A type in words."""
    kind, _ = unwrapped(kind)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(expected(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(f'"{each}"' for each in kind.values)
    if isinstance(kind, inspect.ListType):
        return f"a list of {expected(kind.item_type)}"
    return NAMES.get(type(kind), "any value")


def named(value: object) -> str:
    """The type of a TOML value in words."""
    for kinds, name in KINDS:
        if isinstance(value, kinds):
            return name
    return type(value).__name__


def _convert(kind: inspect.Type, value: object, path: Path, problems: list[Problem]) -> Any:
    kind, _ = unwrapped(kind)
    if len(path) > DEEPEST:
        return _refused(path, f"nested deeper than {DEEPEST} levels", problems)
    reader = READERS.get(type(kind))
    if reader is None or not _matches(kind, value):
        return _mismatch(kind, value, path, problems)
    return reader(kind, value, path, problems)


def _mismatch(kind: inspect.Type, value: object, path: Path, problems: list[Problem]) -> object:
    return _refused(path, f"expected {expected(kind)}, got {named(value)}", problems)


def _refused(path: Path, message: str, problems: list[Problem]) -> object:
    problems.append(problem(path, message))
    return BAD


def _matches(kind: inspect.Type, value: object) -> bool:
    """Whether a value is of the right TOML type; its range is the reader's business."""
    kind, _ = unwrapped(kind)
    if isinstance(kind, inspect.UnionType):
        return any(_matches(each, value) for each in kind.types)
    if isinstance(kind, inspect.AnyType):
        return True
    if isinstance(value, bool):
        return isinstance(kind, inspect.BoolType)
    return isinstance(value, TOML_TYPES.get(type(kind), ()))


def _union(kind: inspect.UnionType, value: object, path: Path, problems: list[Problem]) -> Any:
    for each in kind.types:
        if _matches(each, value):
            return _convert(each, value, path, problems)
    return _mismatch(kind, value, path, problems)


def _plain(_kind: inspect.Type, value: object, _path: Path, _problems: list[Problem]) -> Any:
    return value


def _text(kind: inspect.StrType, value: str, path: Path, problems: list[Problem]) -> Any:
    if not value.isprintable():
        return _refused(path, "holds a line break or another unprintable character", problems)
    if len(value) < (kind.min_length or 0):
        return _refused(path, "is empty", problems)
    return value


def _choice(kind: inspect.LiteralType, value: str, path: Path, problems: list[Problem]) -> Any:
    if value in kind.values:
        return value
    choices = [each for each in kind.values if isinstance(each, str)]
    return _refused(
        path, f"expected {expected(kind)}, got {clipped(value)}{suggestion(value, choices)}", problems
    )


def _number(
    kind: inspect.IntType | inspect.FloatType, value: int | Decimal, path: Path, problems: list[Problem]
) -> Any:
    for words, bound, holds in (
        ("at least", kind.ge, operator.ge),
        ("more than", kind.gt, operator.gt),
        ("at most", kind.le, operator.le),
        ("less than", kind.lt, operator.lt),
    ):
        if bound is not None and not (_finite(value) and holds(value, bound)):
            return _refused(path, f"must be {words} {bound:.15g}, got {_digits(value)}", problems)
    return value if isinstance(kind, inspect.IntType) else float(value)


def _finite(value: int | Decimal) -> bool:
    return not isinstance(value, Decimal) or value.is_finite()


def _digits(value: int | Decimal) -> str:
    """A number for a message; Python refuses to write integers of more than 4300 digits."""
    return (
        f"{value:g}" if isinstance(value, Decimal) else f"{value}" if abs(value) < 2**64 else "a huge number"
    )


def _decimal(
    _kind: inspect.DecimalType, value: int | Decimal, _path: Path, _problems: list[Problem]
) -> Decimal:
    return Decimal(value)


def _list(kind: inspect.ListType, value: list[object], path: Path, problems: list[Problem]) -> Any:
    if len(value) < (kind.min_length or 0):
        return _refused(path, "is an empty list", problems)
    items = [_convert(kind.item_type, each, (*path, index), problems) for index, each in enumerate(value)]
    if BAD in items:
        items = items[: items.index(BAD)]  # so that those which are left keep their places
        return items or BAD
    return items


def _table(kind: inspect.DictType, value: dict[str, object], path: Path, problems: list[Problem]) -> Any:
    found = {}
    for key, each in value.items():
        if not key or not key.isprintable():
            _refused((*path, key), "is empty or holds an unprintable character", problems)
            continue
        item = _convert(kind.value_type, each, (*path, key), problems)
        if item is not BAD:
            found[key] = item
    return found


def _struct(kind: inspect.StructType, value: dict[str, object], path: Path, problems: list[Problem]) -> Any:
    fields = {each.encode_name: each for each in kind.fields}
    problems.extend(
        problem((*path, key), f"unknown key{nearest(key, fields)}") for key in value if key not in fields
    )
    found: dict[str, Any] = {}
    complete = True
    for name, each in fields.items():
        place = (*path, name)
        item = _convert(each.type, value[name], place, problems) if name in value else BAD
        if item is not BAD:
            found[name] = item
        elif each.required:
            found[name] = unwrapped(each.type)[1].get("instead")
            complete = complete and found[name] is not None
            _explain(each.type, place, problems)
    return kind.cls(**found) if complete else BAD


def _explain(kind: inspect.Type, path: Path, problems: list[Problem]) -> None:
    """Says at a required key what to write there."""
    said = problems.pop().message if problems and problems[-1].path == path else "is missing"
    advice = unwrapped(kind)[1].get("missing")
    problems.append(problem(path, f"{said}: {advice}" if advice else said))


def _json(kind: inspect.AnyType, value: object, path: Path, problems: list[Problem]) -> Any:
    """A value that JSON can carry; TOML's dates and non-finite numbers are not among them."""
    found: Any = BAD
    if isinstance(value, dict) and len(path) <= DEEPEST:
        found = {key: _json(kind, each, (*path, key), problems) for key, each in value.items()}
    elif isinstance(value, list) and len(path) <= DEEPEST:
        found = [_json(kind, each, (*path, index), problems) for index, each in enumerate(value)]
    elif isinstance(value, Decimal):
        found = float(value) if math.isfinite(float(value)) else BAD
    elif isinstance(value, int) or (isinstance(value, str) and _is_unicode(value)):
        found = value
    if found is BAD:
        problems.append(problem(path, f"{named(value)} that JSON cannot hold here"))
    return found


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


TOML_TYPES: Final[dict[type[inspect.Type], Any]] = {
    inspect.StrType: str,
    inspect.LiteralType: str,
    inspect.IntType: int,
    inspect.FloatType: (int, Decimal),
    inspect.DecimalType: (int, Decimal),
    inspect.ListType: list,
    inspect.DictType: dict,
    inspect.StructType: dict,
}
READERS: Final[dict[type[inspect.Type], Reader]] = {
    inspect.StrType: _text,
    inspect.LiteralType: _choice,
    inspect.BoolType: _plain,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.DecimalType: _decimal,
    inspect.ListType: _list,
    inspect.DictType: _table,
    inspect.StructType: _struct,
    inspect.UnionType: _union,
    inspect.AnyType: _json,
}
NAMES: Final[dict[type[inspect.Type], str]] = {
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.DecimalType: "a number",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
}
KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (bool, "true or false"),
    (str, "text"),
    (int, "a whole number"),
    (Decimal, "a number"),
    (list, "a list"),
    (dict, "a table"),
    ((dt.date, dt.time), "a date or time"),
)
