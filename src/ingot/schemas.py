"""JSON schemas from strangers, before an engine compiles one into a grammar: bounds, references, patterns, contradictions.

    check_schema --small, and without a risky word--> done                     (2 us for 1 KB)
                 --else: every subschema once--> first problem | patterns that no linear engine takes

Decides what is too much, what has no end and what no value can ever fit, for engines crash or hang on such (a `minItems`
above `maxItems` keeps llama.cpp busy for ever). Refuses to know which keywords a target understands, and who may ask for
what: a pattern's fault is handed back, for where nobody enforces a schema it is only text. Measured on one 2.5 GHz core.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from ingot.errors import InvalidRequest
from ingot.patterns import pattern_problem
from ingot.rawjson import clip, deeper_than

SCHEMA_BYTES: Final = 32 * 1024
SCHEMA_DEPTH: Final = 16
MOST_PARTS: Final = 1000
MOST_VALUES: Final = 1000
PATTERN_TEXT: Final = 8 * 1024
"""Characters of all patterns of a schema together: to read one costs 1 us a character."""

BOUNDS: Final = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
    ("minimum", "maximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
    ("minimum", "exclusiveMaximum"),
    ("exclusiveMinimum", "maximum"),
)

# What a keyword holds: a schema, a list of them, either, schemas by name, or something that is judged here.
_ONE, _MANY, _EITHER, _NAMED, _JUDGED = range(5)
_KINDS: Final[dict[str, int]] = {
    **dict.fromkeys(
        (
            "additionalItems",
            "additionalProperties",
            "contains",
            "else",
            "if",
            "not",
            "propertyNames",
            "then",
            "unevaluatedItems",
            "unevaluatedProperties",
        ),
        _ONE,
    ),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _MANY),
    "items": _EITHER,
    **dict.fromkeys(("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"), _NAMED),
    **dict.fromkeys(("$ref", "enum", "pattern", *sorted({low for low, _ in BOUNDS})), _JUDGED),
}
# Those that judge the very value that their own schema judges: a way through them and back has no end.
_SAME: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
# What a schema must hold to need a look at each of its parts; property names that look like it cost a look for nothing.
_RISKY: Final = re.compile(rb'"(?:\$ref|pattern|min[LIPCi]|exclusiveMin)')

_encode = msgspec.json.Encoder().encode

Trail = tuple[Any, ...]
"""The way to a subschema from the innermost step out: `(step, (step, (...)))`, and `()` at the root."""


Part = tuple[dict[str, Any], Trail, list[str]]
"""A subschema, the way to it, and those of its keywords that are judged here. A tuple, for a schema has many."""


def check_schema(schema: dict[str, Any], where: str) -> InvalidRequest | None:
    """Raises InvalidRequest that names the part for a schema that no engine should see.

    What comes back is the fault of a pattern that only engines without look-around and the like refuse.
    """
    data = _encode(schema)
    if len(data) > SCHEMA_BYTES:
        raise InvalidRequest(
            f"'{where}' is too large: at most {SCHEMA_BYTES} bytes of JSON are accepted.",
            param=where,
            code="string_above_max_length",
        )
    if data.count(b"{") + data.count(b"[") > SCHEMA_DEPTH and deeper_than(SCHEMA_DEPTH, schema):
        raise InvalidRequest(
            f"'{where}' nests too deep: at most {SCHEMA_DEPTH} levels of arrays and objects are accepted.",
            param=where,
        )
    # Two parts or values have a comma between them, or lie inside of each other, which the depth bounds.
    if data.count(b",") < min(MOST_PARTS, MOST_VALUES) - 2 * SCHEMA_DEPTH and _RISKY.search(data) is None:
        return None
    return _check_parts(schema, where)


def parts(schema: dict[str, Any]) -> list[Part]:
    """The schema, and every schema in it that is an object."""
    found: list[Part] = []
    ahead: list[tuple[dict[str, Any], Trail]] = [(schema, ())]
    for own, trail in ahead:  # grows meanwhile
        judged: list[str] = []
        for key, held in own.items():
            kind = _KINDS.get(key)
            if kind is None:
                continue
            if kind == _JUDGED:
                judged.append(key)
            elif type(held) is dict and kind <= _EITHER and kind != _MANY:
                ahead.append((held, (key, trail)))
            elif type(held) is dict and kind == _NAMED:
                way = (key, trail)
                ahead += [(each, (name, way)) for name, each in held.items() if type(each) is dict]
                if key == "patternProperties":
                    judged.append(key)
            elif type(held) is list and kind in (_MANY, _EITHER):
                way = (key, trail)
                ahead += [(each, (index, way)) for index, each in enumerate(held) if type(each) is dict]
        found.append((own, trail, judged))
    return found


def rebuilt(
    schema: dict[str, Any], change: Callable[[dict[str, Any], Trail], dict[str, Any]], trail: Trail = ()
) -> dict[str, Any]:
    """A new schema, in which each part is what `change` makes of a copy; those within a part are there already."""

    def inner(held: Any, way: Trail) -> Any:
        return rebuilt(held, change, way) if type(held) is dict else held

    made: dict[str, Any] = {}
    for key, held in schema.items():
        kind, way = _KINDS.get(key, _JUDGED), (key, trail)
        if kind in (_ONE, _EITHER) and type(held) is dict:
            made[key] = rebuilt(held, change, way)
        elif kind == _NAMED and type(held) is dict:
            made[key] = {name: inner(each, (name, way)) for name, each in held.items()}
        elif kind in (_MANY, _EITHER) and type(held) is list:
            made[key] = [inner(each, (index, way)) for index, each in enumerate(held)]
        else:
            made[key] = held
    return change(made, trail)


def place(trail: Trail, *more: str | int) -> tuple[str | int, ...]:
    """The steps from the root to a subschema, and on."""
    steps = list(reversed(more))
    while trail:
        step, trail = trail
        steps.append(step)
    return tuple(reversed(steps))


def named(where: str, trail: Trail, *more: str | int) -> str:
    """A place in a schema as errors name it, short enough to be said."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place(trail, *more))
    return clip(where + "".join(steps), 200)


def _check_parts(schema: dict[str, Any], where: str) -> InvalidRequest | None:
    found = parts(schema)
    values = text = 0
    fault: InvalidRequest | None = None
    referring: list[Part] = []
    for part in found:
        own, trail, judged = part
        for key in judged:
            held = own[key]
            if key == "$ref":
                referring.append(part)
            elif key == "enum":
                values += len(held) if type(held) is list else 0
            elif key in ("pattern", "patternProperties"):
                for pattern in (held,) if type(held) is str else held if type(held) is dict else ():
                    text += len(pattern)
                    if fault is None and text <= PATTERN_TEXT:
                        fault = _pattern_fault(pattern, key, trail, where=where)
            else:
                _check_bounds(own, key, trail, where=where)
    _check_sum(len(found), MOST_PARTS, "properties and other schemas", where=where)
    _check_sum(values, MOST_VALUES, "values of `enum`", where=where)
    _check_sum(text, PATTERN_TEXT, "characters in patterns", where=where)
    if referring:
        _check_references(schema, referring, where)
    return fault


def _check_sum(count: int, most: int, what: str, *, where: str) -> None:
    if count > most:
        raise InvalidRequest(
            f"'{where}' has {count:,} {what} in all: at most {most:,} are accepted.",
            param=where,
            code="object_above_max_properties",
        )


def _pattern_fault(pattern: str, key: str, trail: Trail, *, where: str) -> InvalidRequest | None:
    problem = pattern_problem(pattern)
    if problem is None:
        return None
    at = named(where, trail, key) if key == "pattern" else named(where, trail, key, pattern)
    return InvalidRequest(f"The pattern at '{at}' {problem}.", param=at)


def _check_bounds(own: dict[str, Any], low: str, trail: Trail, *, where: str) -> None:
    """Refuses a lower bound above an upper one, or at it where one of the two is left out."""
    least = own[low]
    for key, high in BOUNDS:
        if key != low or high not in own:
            continue
        most = own[high]
        if type(least) not in (int, float) or type(most) not in (int, float):
            continue
        if least > most or (least == most and "exclusive" in low + high):
            raise InvalidRequest(
                f"Nothing fits '{named(where, trail)}': its {low} is {least} and its {high} is {most}.",
                param=named(where, trail, low),
            )


# ---- references


def _check_references(schema: dict[str, Any], referring: list[Part], where: str) -> None:
    """Each reference leads to a schema within this one, and none back to itself without a step into the value."""
    targets: dict[int, Any] = {}
    for own, trail, _ in referring:
        found = resolve(schema, own["$ref"])
        if found is None:
            at = named(where, trail, "$ref")
            raise InvalidRequest(
                f"The reference at '{at}' leads to nothing: only references into the same schema are followed, as "
                '"#/$defs/name".',
                param=at,
            )
        targets[id(own)] = found
    known: set[int] = set()
    for own, trail, _ in referring:
        if _returns(own, targets, known):
            at = named(where, trail, "$ref")
            raise InvalidRequest(f"The reference at '{at}' leads back to itself without end.", param=at)


def resolve(schema: dict[str, Any], reference: object) -> dict[str, Any] | bool | None:
    """What a reference leads to; None where that is no schema here."""
    if type(reference) is not str or not (reference == "#" or reference.startswith("#/")):
        return None
    node: Any = schema
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if type(node) is dict and name in node:
            node = node[name]
        elif type(node) is list and name.isascii() and name.isdigit() and int(name[:6]) < len(node):
            node = node[int(name[:6])]
        else:
            return None
    return node if isinstance(node, dict | bool) else None


def _returns(start: dict[str, Any], targets: dict[int, Any], known: set[int]) -> bool:
    """Whether a schema judges its own value by itself again; `known` are those that do not."""
    ahead: list[tuple[dict[str, Any], bool]] = [(start, False)]
    above: set[int] = set()
    while ahead:
        node, done = ahead.pop()
        if done:
            above.discard(id(node))
            known.add(id(node))
        elif id(node) in above:
            return True
        elif id(node) not in known:
            above.add(id(node))
            ahead.append((node, True))
            ahead += [(each, False) for each in _same_value(node, targets)]
    return False


def _same_value(node: dict[str, Any], targets: dict[int, Any]) -> Iterator[dict[str, Any]]:
    target = targets.get(id(node))
    if type(target) is dict:
        yield target
    for key in _SAME:
        held = node.get(key)
        for each in held if type(held) is list else (held,):
            if type(each) is dict:
                yield each
