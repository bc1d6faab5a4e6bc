"""JSON schemas, judged before an engine sees them."""

from typing import Any

import pytest

from ingot.errors import InvalidRequest
from ingot.schemas import (
    MOST_PARTS,
    MOST_VALUES,
    PATTERN_TEXT,
    SCHEMA_BYTES,
    check_schema,
    parts,
    place,
    resolve,
)

WHERE = "tools[0].function.parameters"


def one(part: Any) -> dict[str, Any]:
    """An object with one property."""
    return {"type": "object", "properties": {"v": part}, "required": ["v"]}


def refused(schema: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        check_schema(schema, WHERE)
    return caught.value


@pytest.mark.parametrize(
    "schema",
    [
        {},
        one({"type": "string", "minLength": 1, "maxLength": 1, "pattern": "^[a-z]$"}),
        one({"type": "number", "minimum": 1, "exclusiveMaximum": 1.5}),
        one({"type": "array", "minItems": 2, "maxItems": 2, "items": [{"type": "integer"}, True]}),
        one({"enum": ["a", 1, None]}),
        one(
            {"minimum": "low", "maximum": "high", "minItems": None, "maxItems": True, "enum": 3, "pattern": 4}
        ),
        {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}, "minItems": {"const": 9}}},
        {"properties": [], "anyOf": {}, "items": 3, "$defs": [1]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}},
        {"$ref": "#/$defs/a~1b~0c", "$defs": {"a/b~c": True}},
        {"$ref": "#/anyOf/1", "anyOf": [True, {"type": "integer"}]},
        one({"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
        {
            "$ref": "#/$defs/tree",
            "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}},
        },
        {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {}}},
    ],
)
def test_check_schema_when_all_is_well(schema: dict[str, Any]) -> None:
    """Bounds that meet, recursion by way of a property, names of properties that look like keywords, and odd values."""
    assert check_schema(schema, WHERE) is None


@pytest.mark.parametrize(
    ("part", "at"),
    [
        ({"minItems": 3, "maxItems": 2}, "minItems"),
        ({"minLength": 1, "maxLength": 0}, "minLength"),
        ({"minProperties": 2, "maxProperties": 1}, "minProperties"),
        ({"minContains": 2, "maxContains": 1}, "minContains"),
        ({"minimum": 1.5, "maximum": 1}, "minimum"),
        ({"minimum": 1, "exclusiveMaximum": 1}, "minimum"),
        ({"exclusiveMinimum": 1, "maximum": 1}, "exclusiveMinimum"),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 1}, "exclusiveMinimum"),
    ],
)
def test_check_schema_when_nothing_fits(part: dict[str, Any], at: str) -> None:
    """A lower bound above an upper one is named by its place, at any depth."""
    error = refused(one({"anyOf": [{"type": "null"}, {"type": "array", "items": part}]}))
    assert error.param == f"{WHERE}.properties.v.anyOf[1].items.{at}"
    assert "Nothing fits" in error.message


@pytest.mark.parametrize(
    "reference",
    [
        "#/$defs/none",
        "https://example.org/a.json",
        "other.json",
        "#name",
        "",
        3,
        "#/properties",
        "#/required/0",
        "#/required/9",
    ],
)
def test_check_schema_when_reference_leads_nowhere(reference: Any) -> None:
    """Only schemas within the same one are referred to; nothing is fetched."""
    error = refused(
        {**one({"$ref": reference}), "required": ["v"]}
        if reference != "#/properties"
        else {"properties": {"v": {"$ref": "#/properties/w"}}}
    )
    assert error.param == f"{WHERE}.properties.v.$ref"
    assert "leads to nothing" in error.message


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"not": {"allOf": [{"$ref": "#/$defs/a"}]}}}},
        {"properties": {"v": {"if": {}, "then": {"$ref": "#/properties/v"}}}},
        {"items": {"$ref": "#/items"}},
    ],
)
def test_check_schema_when_reference_has_no_end(schema: dict[str, Any]) -> None:
    """A reference that comes back to the same value is refused; one that goes down into the value is recursion."""
    assert "leads back to itself without end" in refused(schema).message


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (one({"description": "x" * SCHEMA_BYTES}), "is too large"),
        (one({"enum": list(range(MOST_VALUES + 1))}), f"{MOST_VALUES + 1:,} values of `enum`"),
        ({"properties": {f"p{n}": {} for n in range(MOST_PARTS)}}, f"{MOST_PARTS + 1:,} properties"),
        (
            {"properties": {f"p{n}": {"pattern": f"^{'a' * 1000}{n}$"} for n in range(9)}},
            "characters in patterns",
        ),
    ],
)
def test_check_schema_when_it_is_too_much(schema: dict[str, Any], message: str) -> None:
    """Bytes, subschemas, values and patterns are bounded."""
    error = refused(schema)
    assert error.param == WHERE
    assert message in error.message
    assert PATTERN_TEXT < SCHEMA_BYTES


def test_check_schema_when_it_is_as_much_as_may_be() -> None:
    """The bounds themselves are allowed."""
    assert check_schema(one({"enum": list(range(MOST_VALUES))}), WHERE) is None
    assert check_schema({"properties": {f"p{n}": {} for n in range(MOST_PARTS - 1)}}, WHERE) is None


@pytest.mark.parametrize(
    ("part", "at"),
    [
        ({"pattern": "^(?=a)"}, "pattern"),
        ({"patternProperties": {"(a+)+": {}}}, "patternProperties.(a+)+"),
        ({"propertyNames": {"pattern": r"(a)\1"}}, "propertyNames.pattern"),
        ({"prefixItems": [{}, {"pattern": "["}]}, "prefixItems[1].pattern"),
        ({"additionalProperties": {"oneOf": [{"pattern": "*"}]}}, "additionalProperties.oneOf[0].pattern"),
        ({"dependentSchemas": {"x": {"pattern": "a**"}}}, "dependentSchemas.x.pattern"),
    ],
)
def test_check_schema_when_a_pattern_is_not_taken(part: dict[str, Any], at: str) -> None:
    """The first fault of a pattern comes back with its place, wherever patterns may stand."""
    fault = check_schema(one(part), WHERE)
    assert fault is not None
    assert fault.param == f"{WHERE}.properties.v.{at}"
    assert f"'{fault.param}'" in fault.message


def test_check_schema_when_the_place_is_long() -> None:
    """A client's own names are said back in short."""
    fault = check_schema({"properties": {"x" * 9000: {"pattern": "("}}}, WHERE)
    assert fault is not None
    assert fault.param is not None
    assert len(fault.param) == 200


def test_parts_when_schema_is_a_tree() -> None:
    """Each schema that is an object is there once, with its way; `items` may be one or many."""
    schema = {
        "items": [{"title": "a"}, False],
        "properties": {"items": {"items": {"title": "b"}}, "x": True},
        "enum": [{"title": "no schema"}],
        "const": {"properties": {"no": {}}},
        "if": {"title": "c"},
    }
    found = {place(trail): own.get("title") for own, trail, _ in parts(schema)}
    assert found == {
        (): None,
        ("items", 0): "a",
        ("properties", "items"): None,
        ("properties", "items", "items"): "b",
        ("if",): "c",
    }


def test_resolve_when_pointer_is_escaped() -> None:
    """A reference follows names and indexes, with the escapes of JSON pointers."""
    root = {"a/b": [{"~": {"x": 1}}]}
    assert resolve(root, "#/a~1b/0/~0") == {"x": 1}
    assert resolve(root, "#") == root
    assert resolve(root, "#/a~1b/1") is None
    assert resolve(root, "#/a~1b/-1") is None
