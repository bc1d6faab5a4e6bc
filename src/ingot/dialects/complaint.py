"""Turns a validator's complaint about a request into an error that says what would be right.

The expectation is read from the very rows that the validator checked (`describe`), so the two cannot drift apart.
Codes are OpenAI's vocabulary. Decides no rule itself, and knows no particular field.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect as rows

from ingot.errors import InvalidRequest, Unsupported
from ingot.rawjson import clip, kind_of

Options = tuple[rows.Type, ...]

END = r"(?!\n)$"
"""Ends the pattern of a row: `$` alone would let a last newline in, and `\\Z` is no word of a JSON Schema's."""

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$?(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_BOUND = re.compile(r"Expected `(int|float)` (>=|<=) ")
_LENGTH = re.compile(r"Expected `(str|array|object)` of length (>=|<=) ")

_PATTERN = " matching regex "

_BOUND_CODES = {
    ("int", ">="): "integer_below_min_value",
    ("int", "<="): "integer_above_max_value",
    ("float", ">="): "decimal_below_min_value",
    ("float", "<="): "decimal_above_max_value",
}
_LENGTH_CODES = {
    ("str", ">="): ("empty_string", "is empty"),
    ("str", "<="): ("string_above_max_length", "is too long"),
    ("array", ">="): ("empty_array", "is empty"),
    ("array", "<="): ("array_above_max_length", "has too many items"),
    ("object", ">="): ("object_below_min_properties", "has too few properties"),
    ("object", "<="): ("object_above_max_properties", "has too many properties"),
}


def convert(value: dict[str, Any], row: type[Any]) -> Any:
    """`value` as `row`, every member of which it must know; raises InvalidRequest, Unsupported."""
    for name in value:
        if name not in row.__struct_fields__:
            raise unknown(name, row.__struct_fields__)
    try:
        return msgspec.convert(value, row)
    except msgspec.ValidationError as error:
        raise complain(error, value, row) from error


def unknown(name: str, names: Iterable[str]) -> Unsupported:
    """The error for a member that is none of `names`."""
    return Unsupported(
        f"Unknown parameter: '{clip(name)}'. This endpoint takes {', '.join(map(repr, names))}.",
        param=clip(name),
        code="unknown_parameter",
    )


def complain(error: msgspec.ValidationError, value: Any, row: type[msgspec.Struct]) -> InvalidRequest:
    """The error for `value`, which is not what `row` describes."""
    match = _WHERE.match(str(error))
    what, key, path = (match["what"], match["key"], match["path"] or "") if match else (str(error), None, "")
    options: Options = (_type_of(row),)
    for name, index in _STEP.findall(path):
        options = _step(options, name, value=value)
        value = _child(value, name=name, index=index)
    param = path.removesuffix("[...]").removeprefix(".")
    if missing := _MISSING.match(what):
        name = missing[1]
        param = f"{param}.{name}" if param else name
        expected = describe(_step(options, name, value=value))
        return InvalidRequest(
            f"Missing required parameter: '{param}'. It must be {expected}.",
            param=param,
            code="missing_required_parameter",
        )
    if key:
        options = tuple(option.key_type for option in options if isinstance(option, rows.DictType))
        return _refusal(what, f"a key of '{param}'", expected=describe(options), got="", param=param)
    if path.endswith("[...]"):
        return _refusal(what, f"a value of '{param}'", expected=describe(options), got="", param=param)
    got = _shown(value, what)
    return _refusal(what, f"'{param}'", expected=describe(options), got=f", but got {got}", param=param)


def _refusal(what: str, subject: str, *, expected: str, got: str, param: str) -> InvalidRequest:
    code, fault = "invalid_type", f"Invalid type for {subject}"
    if bound := _BOUND.match(what):
        code = _BOUND_CODES[bound[1], bound[2]]
        fault = f"{subject} is {'below the minimum' if bound[2] == '>=' else 'above the maximum'}"
    elif length := _LENGTH.match(what):
        code, fault = _LENGTH_CODES[length[1], length[2]]
        fault = f"{subject} {fault}"
        got = ""
    elif what.startswith("Invalid ") or _PATTERN in what:
        code, fault = "invalid_value", f"Invalid value for {subject}"
    return InvalidRequest(f"{fault[0].upper()}{fault[1:]}: expected {expected}{got}.", param=param, code=code)


def _shown(value: Any, what: str) -> str:
    """The value itself where only the value is wrong, and its kind where that is."""
    if what.startswith("Invalid ") or _PATTERN in what:
        return f"'{clip(str(value))}'"
    return clip(str(value)) if _BOUND.match(what) else kind_of(value)


@cache
def _type_of(row: type[msgspec.Struct]) -> rows.Type:
    return rows.type_info(row)


def _child(value: Any, *, name: str, index: str) -> Any:
    if name:
        return value.get(name) if type(value) is dict else None
    if index and type(value) is list:
        return value[int(index)]
    return None


def _flat(option: rows.Type) -> Options:
    if isinstance(option, rows.UnionType):
        return tuple(flat for part in option.types for flat in _flat(part))
    return (option,)


def _step(options: Options, name: str, *, value: Any) -> Options:
    """What may stand at a field (`name`) or in an item of these options."""
    structs = [option for option in options if isinstance(option, rows.StructType)]
    if not name:
        items = [option.item_type for option in options if isinstance(option, rows.ListType)]
        items += [option.value_type for option in options if isinstance(option, rows.DictType)]
        return tuple(flat for item in items for flat in _flat(item))
    tags = [struct.tag for struct in structs if struct.tag_field == name]
    if tags:
        return (rows.LiteralType(tuple(sorted(map(str, tags)))),)
    told = [struct for struct in structs if type(value) is dict and value.get(struct.tag_field) == struct.tag]
    fields = {field.name: field.type for struct in told or structs for field in struct.fields}
    return _flat(fields[name]) if name in fields else ()


def describe(options: Options) -> str:
    """What these options accept, in words: `a number from 0 to 2 or null`."""
    tagged = [option for option in options if isinstance(option, rows.StructType) and option.tag_field]
    plain = [words for option in options if option not in tagged for words in _words(option)]
    if tagged:
        kinds = _either([f"'{struct.tag}'" for struct in tagged])
        plain.insert(len(plain) - ("null" in plain), f"an object whose '{tagged[0].tag_field}' is {kinds}")
    return _either(plain) or "something else"


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1] if words else ""


def _words(option: rows.Type) -> list[str]:
    match option:
        case rows.StrType():
            sized = _sized("a", "string", option, unit="characters")
            return [
                sized
                if option.pattern is None
                else f"{sized} that matches {option.pattern.replace(END, '$')}"
            ]
        case rows.ListType():
            return [_sized("an", "array", option, unit="items")]
        case rows.DictType():
            return [_sized("an", "object", option, unit="properties")]
        case rows.IntType():
            return ["an integer" + _range(option.ge, option.le)]
        case rows.FloatType():
            return ["a number" + _range(option.ge, option.le)]
        case rows.LiteralType():
            return [f"'{value}'" for value in option.values]
        case _:
            return [_PLAIN[type(option)]] if type(option) in _PLAIN else []


_PLAIN: dict[type[rows.Type], str] = {
    rows.BoolType: "a boolean",
    rows.NoneType: "null",
    rows.StructType: "an object",
}


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        # Bounds at the ends of 64 bits are the type's own.
        return f" from {_figure(low)} to {_figure(high)}" if high <= 2**53 else " of 64 bits"
    if low is not None:
        return f" of at least {_figure(low)}"
    return f" of at most {_figure(high)}" if high is not None else ""


def _figure(bound: float) -> str:
    """A bound with all of its digits: a rounded one would be another."""
    return str(int(bound)) if bound == int(bound) else repr(bound)


def _sized(
    article: str, noun: str, option: rows.StrType | rows.ListType | rows.DictType, *, unit: str
) -> str:
    low, high = option.min_length, option.max_length
    if high is not None:
        return f"{article} {noun} of {f'{low} to' if low else 'at most'} {high} {unit}"
    return f"a non-empty {noun}" if low else f"{article} {noun}"
