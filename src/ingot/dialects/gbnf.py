r"""JSON schemas for llama.cpp, which compiles them into a GBNF grammar: what the grammar holds, and patterns it holds to.

llama.cpp takes any schema and leaves out, without a word, what its grammar cannot say. What an answer or a demanded call
must fit is therefore looked through first, keyword by keyword. Patterns it reads in a dialect of its own: no `\d`, no
unanchored ones, and a class that has a quote or a control character breaks the JSON around it. They are written anew from
their tree, as one row between ^ and $ of classes whose characters JSON never escapes, so that what fits there fits the
pattern. Ranges of integers hold where both ends are said, so both are. Tried on the bundled release.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ingot.errors import InvalidRequest, Unsupported
from ingot.patterns import Again, BadPattern, Chars, Choice, Edge, Node, Ranges, Row, parse
from ingot.schemas import Trail, named, parts, rebuilt, resolve

# Characters that stand for themselves in a JSON string, less the byte order mark: the grammar is written for those.
_PLAIN: Final[Ranges] = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0xD7FF), (0xE000, 0xFEFE), (0xFF00, 0x10FFFF))
_ANYTHING: Final = Again(Chars(_PLAIN), 0, None)

CONSTRAINTS: Final = frozenset(
    {
        "$dynamicRef",
        "$recursiveRef",
        "$ref",
        "additionalItems",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "if",
        "items",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "oneOf",
        "pattern",
        "patternProperties",
        "prefixItems",
        "properties",
        "propertyNames",
        "required",
        "then",
        "type",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_LOWER: Final = frozenset({"minimum", "exclusiveMinimum"})
_RANGE: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
# Beside these the grammar reads no range.
_ALONE: Final = frozenset({"$ref", "anyOf", "oneOf", "allOf", "const", "enum"})
# How far integers go on which all readers of JSON agree, and those that llama.cpp knows, for who names one beyond.
_FAR: Final = 2**53
_FARTHEST: Final = 2**63 - 2
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
_BY_TYPE: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "integer": frozenset(_RANGE),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
# What asks for nothing.
_NEUTRAL: Final[Mapping[str, Any]] = {
    "additionalProperties": True,
    "items": True,
    "minItems": 0,
    "minLength": 0,
    "minProperties": 0,
    "required": [],
    "uniqueItems": False,
}
_FORMATS: Final = frozenset({"date", "time", "date-time", "uuid"})
_LENGTHS: Final = frozenset({"minLength", "maxLength"})


def check_held(schema: dict[str, Any], where: str, *, deployment: str) -> None:
    """Raises Unsupported for the first keyword that the grammar would leave out."""
    for own, trail, _ in parts(schema):
        for key in sorted((own.keys() & CONSTRAINTS) - _held(own, schema)):
            if key in _NEUTRAL and own[key] == _NEUTRAL[key]:
                continue
            at = named(where, trail, key)
            raise Unsupported(
                f"The model '{deployment}' cannot hold its answer to '{key}' here, at '{at}'. Leave it out, say it "
                "otherwise, or choose another model.",
                param=at,
                code="unsupported_value",
            )


def fitted(schema: dict[str, Any], where: str, *, deployment: str, root: str = "#") -> dict[str, Any]:
    """The schema as the grammar reads it, its references led to `root`; raises ClientError where it has no such form."""
    if root == "#" and any(own.get("$ref") == "#" for own, _, _ in parts(schema)):
        inner = fitted(schema, where, deployment=deployment, root="#/$defs/root")
        return {"$ref": "#/$defs/root", "$defs": {"root": inner}}

    def fit(own: dict[str, Any], trail: Trail) -> dict[str, Any]:
        at = _Place(where, trail, deployment)
        if isinstance(own.get("$ref"), str):
            own["$ref"] = root + own["$ref"].removeprefix("#")
        if isinstance(own.get("properties"), dict):
            own["properties"] = {
                name: {} if each is True else each for name, each in own["properties"].items()
            }
        _fit_items(own, at)
        _fit_values(own, at)
        _fit_bounds(own, at)
        _fit_pattern(own, at)
        return own

    return rebuilt(schema, fit)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in whose schema a part stands."""

    where: str
    trail: Trail
    deployment: str

    def empty(self, key: str, why: str) -> InvalidRequest:
        """The refusal of a contradiction, at which the engine would never end."""
        told = f"Nothing fits '{named(self.where, self.trail)}': {why}."
        return InvalidRequest(told, param=named(self.where, self.trail, key))


def _fit_items(own: dict[str, Any], at: _Place) -> None:
    """Writes `true` and `false` out, which the grammar takes for nothing; behind `prefixItems` nothing comes anyway."""
    items = own.get("items")
    if not isinstance(items, bool):
        return
    if "prefixItems" in own:
        del own["items"]
        return
    own["items"] = {}
    if items is False:
        least = own.get("minItems")
        if isinstance(least, int | float) and least > 0:
            raise at.empty("minItems", f"its items is false and its minItems is {least}")
        own["maxItems"] = 0


def _fit_values(own: dict[str, Any], at: _Place) -> None:
    """Leaves of the values named those of the type that stands beside them, which the grammar forgets."""
    key = "const" if "const" in own else "enum"
    values = [own["const"]] if key == "const" else _listed(own, "enum")
    kinds = own.get("type")
    listed = kinds if isinstance(kinds, list) else [kinds]
    known = [kind for kind in listed if isinstance(kind, str) and kind in _TYPES]
    kept = [each for each in values if not known or any(_is_of(each, kind) for kind in known)]
    if key == "const" and "enum" in own:
        kept = [each for each in kept if any(_same(each, one) for one in _listed(own, "enum"))]
    if values and not kept:
        raise at.empty(key, f"no value of its {key} is of its type or stands in its enum")
    if key == "enum" and len(kept) < len(values):
        own["enum"] = kept


def _is_of(value: Any, kind: str) -> bool:
    """Whether a value is of a type; 1.0 is an integer, and true is no number."""
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _fit_bounds(own: dict[str, Any], at: _Place) -> None:
    """Closes the range of an integer: the grammar of one that is open on a side takes 13 for at least 100."""
    kinds = own.get("type")
    if "integer" not in (kinds if isinstance(kinds, list) else [kinds]) or not _ALONE.isdisjoint(own):
        return
    stated = {key: own[key] for key in _RANGE if type(own.get(key)) in (int, float)}
    if not stated:
        return
    far = _FARTHEST if any(abs(held) > _FAR for held in stated.values()) else _FAR
    least = max([-far, *(_lowest(key, held) for key, held in stated.items() if key in _LOWER)])
    most = min([far, *(_highest(key, held) for key, held in stated.items() if key not in _LOWER)])
    if least > most:
        told = " and ".join(f"its {key} is {held}" for key, held in stated.items())
        raise at.empty(next(iter(stated)), f"{told}, and no integer lies there")
    for key in stated:
        del own[key]
    own |= {"minimum": least, "maximum": most}


def _lowest(key: str, held: float) -> int:
    """The least integer that a lower bound allows."""
    return math.floor(held) + 1 if key == "exclusiveMinimum" else math.ceil(held)


def _highest(key: str, held: float) -> int:
    """The greatest integer that an upper bound allows."""
    return math.ceil(held) - 1 if key == "exclusiveMaximum" else math.floor(held)


def _fit_pattern(own: dict[str, Any], at: _Place) -> None:
    """Puts a pattern so that the grammar reads it, and the lengths beside it, which it forgets, into it."""
    pattern = own.get("pattern")
    if isinstance(pattern, str):
        try:
            own["pattern"] = written(pattern, own.pop("minLength", None), own.pop("maxLength", None))
        except BadPattern as error:
            place = named(at.where, at.trail, "pattern")
            raise Unsupported(
                f"The model '{at.deployment}' cannot hold its answer to the pattern at '{place}': it {error}.",
                param=place,
                code="unsupported_value",
            ) from error


def _held(own: dict[str, Any], root: dict[str, Any]) -> frozenset[str]:
    """The keywords of one schema that the grammar holds beside each other."""
    for alone in ("$ref", "anyOf", "oneOf"):
        if alone in own:
            return frozenset({alone})
    if "allOf" in own:
        whole = all(_is_object(each, root) for each in _listed(own, "allOf"))
        return frozenset({"allOf"}) if whole else frozenset()
    if "const" in own or "enum" in own:
        return frozenset({"const", "enum", "type"})
    held = {"type"}
    kinds = _listed(own, "type") or [own.get("type") or _implied(own)]
    for kind in kinds:
        held |= _BY_TYPE.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
    if "number" in kinds:  # beside an integer, too: its range is left out
        held -= frozenset(_RANGE)
    if "pattern" not in own and isinstance(own.get("format"), str) and own["format"] in _FORMATS:
        held -= _LENGTHS
    if "prefixItems" in own:
        count = len(_listed(own, "prefixItems"))
        held = (held if own.get("items") is False else held - {"items"}) | {"prefixItems"}
        held -= {key for key in ("minItems", "maxItems") if own.get(key) != count}
    properties = own.get("properties")
    if not all(
        isinstance(properties, dict) and name in properties for name in map(str, _listed(own, "required"))
    ):
        held.discard("required")
    return frozenset(held)


def _listed(own: dict[str, Any], key: str) -> list[Any]:
    """A list under a keyword; empty where something else stands there, which the engine itself refuses."""
    held = own.get(key)
    return held if isinstance(held, list) else []


def _implied(own: dict[str, Any]) -> str | None:
    """The type that the grammar takes a schema without one for."""
    if "properties" in own or isinstance(own.get("additionalProperties"), dict):
        return "object"
    if "items" in own or "prefixItems" in own:
        return "array"
    return "string" if "pattern" in own else None


def _is_object(schema: Any, root: dict[str, Any]) -> bool:
    if isinstance(schema, dict) and "$ref" in schema:
        schema = resolve(root, schema["$ref"])
    return isinstance(schema, dict) and "properties" in schema


# ---- patterns


def written(pattern: str, shortest: object = None, longest: object = None) -> str:
    """A pattern that the grammar reads, whose matches are among those of `pattern`; raises BadPattern.

    The grammar forgets lengths beside a pattern: they are put into it where it is one class, repeated.
    """
    node = parse(pattern)
    options = node.options if isinstance(node, Choice) else (node,)
    rows = [_anchored(option) for option in options]
    if shortest is not None or longest is not None:
        rows = [_measured(row, shortest, longest) for row in rows]
    texts = ["".join(_written(part) for part in row) for row in rows]
    return f"^{texts[0] if len(texts) == 1 else _choice(texts)}$"


def _anchored(option: Node) -> tuple[Node, ...]:
    """The parts of a row without its anchors, and with anything at all where one is missing."""
    items = list(option.parts) if isinstance(option, Row) else [option]
    if items[:1] == [Edge("^")]:
        del items[0]
    elif items[:1] != [_ANYTHING]:
        items.insert(0, _ANYTHING)
    if items[-1:] == [Edge("$")]:
        items.pop()
    elif items[-1:] != [_ANYTHING]:
        items.append(_ANYTHING)
    return tuple(items)


def _measured(row: tuple[Node, ...], shortest: object, longest: object) -> tuple[Node, ...]:
    """The row with bounds on its length."""
    least = shortest if type(shortest) is int else 0
    most = longest if type(longest) is int else None
    match row:
        case ():
            node = Again(Chars(_PLAIN), 0, 0)
        case (Again(body=Chars()) as again,):
            node = again
        case (Chars() as single,):
            node = Again(single, 1, 1)
        case _:
            raise BadPattern("stands beside a length, and is more than one class repeated")
    least = max(least, node.least)
    ends = [end for end in (most, node.most) if end is not None]
    if ends and min(ends) < least:
        raise BadPattern("allows no text of the length that stands beside it")
    return (Again(node.body, least, min(ends) if ends else None),)


def _written(node: Node) -> str:
    match node:
        case Chars():
            return _class(node)
        case Row(parts=items):
            return "".join(map(_written, items))
        case Choice(options=options):
            return _choice(list(map(_written, options)))
        case Again(body=body, least=least, most=most):
            inner = _written(body)
            if most == 0 or not inner:
                return ""
            return (inner if isinstance(body, Chars) else f"(?:{inner})") + _count(least, most)
        case Edge():
            raise BadPattern("has ^, $ or \\b where a text neither begins nor ends")


def _choice(texts: list[str]) -> str:
    """Alternatives; an empty one is said by a question mark."""
    full = [text for text in texts if text]
    if not full:
        return ""
    return f"(?:{'|'.join(full)}){'?' if len(full) < len(texts) else ''}"


def _count(least: int, most: int | None) -> str:
    if most is None:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return "?" if (least, most) == (0, 1) else f"{{{least}}}" if least == most else f"{{{least},{most}}}"


def _class(chars: Chars) -> str:
    if not chars.exact:
        raise BadPattern("names a Unicode property")
    found = list(_common(chars.ranges, _PLAIN))
    if not found:
        raise BadPattern("wants a character that JSON writes as an escape")
    # Characters beyond the first 65,536 are left out where there are others.
    short = [(low, min(high, 0xFFFF)) for low, high in found if low <= 0xFFFF]
    ends = [(_point(low), _point(high)) for low, high in short or found]
    return "[" + "".join(low if low == high else f"{low}-{high}" for low, high in ends) + "]"


def _common(left: Ranges, right: Ranges) -> Iterator[tuple[int, int]]:
    for low, high in left:
        for least, most in right:
            if low <= most and least <= high:
                yield max(low, least), min(high, most)


def _point(point: int) -> str:
    char = chr(point)
    return char if (char.isascii() and char.isalnum()) or point > 0xFFFF else f"\\u{point:04x}"
