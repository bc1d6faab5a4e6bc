"""Schemas for llama.cpp: what its grammar holds, and patterns that it holds to."""

import copy
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.dialects.gbnf import CONSTRAINTS, check_held, fitted, written
from ingot.errors import ClientError, InvalidRequest, Unsupported
from ingot.patterns import BadPattern
from ingot.schemas import check_schema

WHERE = "response_format.json_schema.schema"
PATTERNS = [
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[^a]{2}$",
    r"^\W\S\D$",
    r"^.{3}$",
    "[a-z]+",
    "^a",
    "b$",
    "^a|b$",
    "^(a|)$",
    "^(?:x|y|)z*?$",
    r"^(?<y>ab)+c{2,}d{1,3}e?$",
    r"^\/x\.$",
    r"^[\w.-]+@[\w-]+(\.[a-z]{2,4})+$",
    r"^[é-ü]\u0416\x41$",
    "^(|)$",
    "^$",
    "",
]
# What the grammar of llama.cpp reads: between ^ and $, classes of plain characters and \uXXXX, groups, counts.
READ = re.compile(
    r"\^(?:\[(?:[A-Za-z0-9]|\\u[0-9a-f]{4}|-|[^\x00-\uffff])+\]|\(\?:|\)|\||[*+?]|\{\d+(?:,\d*)?\})*\$"
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_written_when_there_is_a_form(pattern: str) -> None:
    """The form is one that the grammar reads."""
    assert READ.fullmatch(written(pattern))


@given(st.sampled_from(PATTERNS), st.data())
@settings(max_examples=200, deadline=None)
def test_written_when_text_fits_the_form(pattern: str, data: st.DataObject) -> None:
    """Whatever fits the form fits the pattern, and JSON writes it without an escape."""
    text = data.draw(st.from_regex(re.compile(written(pattern), re.ASCII), fullmatch=True))
    assert re.search(pattern.replace("?<", "?P<"), text, re.ASCII)
    assert not re.search(r'["\\\x00-\x1f\ufeff]', text.removesuffix("\n"))


@pytest.mark.parametrize(
    ("pattern", "shortest", "longest", "expected"),
    [
        ("^[a-z]+$", 2, 8, "^[a-z]{2,8}$"),
        ("^[a-z]*$", None, 8, "^[a-z]{0,8}$"),
        ("^[a-z]{3,}$", 1, None, "^[a-z]{3,}$"),
        ("^a$", 0, 8, "^[a]{1}$"),
        ("^$", 0, 3, "^$"),
        ("^[ab]+$|^[cd]{2}$", None, 2, "^(?:[a-b]{1,2}|[c-d]{2})$"),
    ],
)
def test_written_when_a_length_stands_beside_it(
    pattern: str, shortest: int | None, longest: int | None, expected: str
) -> None:
    """Lengths, which the grammar forgets beside a pattern, become part of it where that is one class."""
    assert written(pattern, shortest, longest) == expected


def test_written_when_anything_is_measured() -> None:
    """A pattern that allows anything is as good as none: the lengths alone count."""
    assert written("", 1, 3).endswith("{1,3}$")


@pytest.mark.parametrize(
    ("pattern", "shortest", "longest", "message"),
    [
        ('^"$', None, None, "an escape"),
        (r"^\n$", None, None, "an escape"),
        (r"^\\$", None, None, "an escape"),
        (r"a\b", None, None, "neither begins nor ends"),
        ("x^a$", None, None, "neither begins nor ends"),
        ("^(^a)$", None, None, "neither begins nor ends"),
        (r"^\p{L}$", None, None, "a Unicode property"),
        ("^ab$", 1, None, "more than one class repeated"),
        ("[a-z]+", None, 5, "more than one class repeated"),
        ("^[a-z]{3}$", None, 2, "no text of the length"),
    ],
)
def test_written_when_there_is_no_form(
    pattern: str, shortest: int | None, longest: int | None, message: str
) -> None:
    """Characters that JSON escapes, edges in the middle, and lengths that cannot be put in are refused."""
    with pytest.raises(BadPattern, match=message):
        written(pattern, shortest, longest)


def test_fitted_when_schema_has_everything() -> None:
    """Patterns and references are put anew, `true` is written out, and the client's own schema is left as it was."""
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "pattern": r"^\d+$", "maxLength": 4},
            "b": {"$ref": "#/$defs/b"},
            "c": True,
            "d": {"type": "array", "prefixItems": [{"const": 1}], "items": False},
            "e": {"type": "array", "items": True},
        },
        "$defs": {"b": {"enum": ["#/$defs/b"]}},
    }
    before = copy.deepcopy(schema)
    made = fitted(schema, WHERE, deployment="m", root="#/$defs/f0")
    assert schema == before
    assert made == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "pattern": "^[0-9]{1,4}$"},
            "b": {"$ref": "#/$defs/f0/$defs/b"},
            "c": {},
            "d": {"type": "array", "prefixItems": [{"const": 1}]},
            "e": {"type": "array", "items": {}},
        },
        "$defs": {"b": {"enum": ["#/$defs/b"]}},
    }


def test_fitted_when_schema_refers_to_itself() -> None:
    """The grammar knows no reference to the root: it is given a name."""
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert fitted(schema, WHERE, deployment="m") == {
        "$ref": "#/$defs/root",
        "$defs": {"root": {"type": "object", "properties": {"next": {"$ref": "#/$defs/root"}}}},
    }


def test_fitted_when_a_pattern_has_no_form() -> None:
    """The refusal names the model and the place."""
    with pytest.raises(Unsupported) as caught:
        fitted({"items": {"pattern": r"^\p{L}$"}}, WHERE, deployment="tiny")
    assert caught.value.param == f"{WHERE}.items.pattern"
    assert "The model 'tiny' cannot hold" in caught.value.message


@pytest.mark.parametrize(
    ("bounds", "least", "most"),
    [
        ({"minimum": 100}, 100, 2**53),
        ({"exclusiveMinimum": 1000}, 1001, 2**53),
        ({"maximum": -1000}, -(2**53), -1000),
        ({"exclusiveMaximum": 0}, -(2**53), -1),
        ({"minimum": 0.5, "exclusiveMaximum": 10.5}, 1, 10),
        ({"minimum": -1.5, "maximum": -0.5}, -1, -1),
        ({"minimum": 3, "exclusiveMinimum": 3, "maximum": 9, "exclusiveMaximum": 8}, 4, 7),
        ({"minimum": 1, "maximum": 1e300}, 1, 2**63 - 2),
        ({"minimum": 2**60}, 2**60, 2**63 - 2),
    ],
)
def test_fitted_when_an_integer_has_bounds(bounds: dict[str, float], least: int, most: int) -> None:
    """Both ends are said, as whole numbers that are allowed: the grammar of an open range takes what lies outside."""
    for kind in ("integer", ["integer", "null"]):
        made = fitted({"items": {"type": kind, **bounds}}, WHERE, deployment="m")
        assert made == {"items": {"type": kind, "minimum": least, "maximum": most}}


def test_fitted_when_it_is_no_integer() -> None:
    """Bounds of other numbers, which the grammar does not read, are left as they are."""
    schema = {"type": "number", "minimum": 0.5}
    assert fitted(schema, WHERE, deployment="m") == schema


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "integer", "enum": ["x", 5, 2.0, True, 2.5]}, {"type": "integer", "enum": [5, 2.0]}),
        (
            {"type": ["string", "null"], "enum": ["x", 5, None]},
            {"type": ["string", "null"], "enum": ["x", None]},
        ),
        ({"type": "number", "enum": [1, True]}, {"type": "number", "enum": [1]}),
        ({"type": "boolean", "const": True}, {"type": "boolean", "const": True}),
        ({"enum": ["x", 5]}, {"enum": ["x", 5]}),
        (
            {"type": "array", "items": False, "maxItems": 4},
            {"type": "array", "items": {}, "maxItems": 0},
        ),
    ],
)
def test_fitted_when_the_grammar_would_forget(schema: dict[str, Any], made: dict[str, Any]) -> None:
    """Values are those of the type beside them, and a list without items has none."""
    assert fitted(schema, WHERE, deployment="m") == made


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "exclusiveMinimum"),
        ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "minimum"),
        ({"type": "integer", "minimum": 1e300}, "minimum"),
        ({"type": "integer", "enum": ["x", 5.5]}, "enum"),
        ({"type": "string", "const": 1}, "const"),
        ({"const": 1, "enum": [True, 2]}, "const"),
        ({"type": "array", "items": False, "minItems": 1}, "minItems"),
    ],
)
def test_fitted_when_nothing_fits(schema: dict[str, Any], keyword: str) -> None:
    """A contradiction, at which the engine would never end, is named where it stands."""
    with pytest.raises(InvalidRequest, match="Nothing fits") as caught:
        fitted({"properties": {"v": schema}}, WHERE, deployment="m")
    assert caught.value.param == f"{WHERE}.properties.v.{keyword}"


OBJECT = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {
            "title": "t",
            "description": "d",
            "default": 1,
            "examples": [1],
            "format": "email",
            "x-own": {"not": 1},
        },
        {**OBJECT, "additionalProperties": False},
        {"type": "object", "additionalProperties": {"type": "boolean"}},
        {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 2, "uniqueItems": False},
        {"type": "array", "prefixItems": [{}, {}], "minItems": 2, "maxItems": 2, "items": False},
        {"type": "string", "minLength": 1, "maxLength": 2},
        {"type": "string", "format": "date"},
        {"pattern": "^a$"},
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 3},
        {"type": ["integer", "null"], "maximum": 3},
        {"type": "string", "enum": ["a"]},
        {"anyOf": [{"type": "number"}, {"type": "null"}], "title": "t"},
        {"allOf": [OBJECT, {"$ref": "#/$defs/o"}], "$defs": {"o": OBJECT}},
        {"type": "number"},
    ],
)
def test_check_held_when_it_holds(schema: dict[str, Any]) -> None:
    """What pydantic and zod write passes: each kind with its bounds, unions, references, and words for people."""
    check_held(schema, WHERE, deployment="m")
    check_held(
        {"type": "array", "items": {**schema, "$defs": {}}, "$defs": {"o": OBJECT}}, WHERE, deployment="m"
    )


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "number", "minimum": 0}, "minimum"),
        ({"minimum": 1}, "minimum"),
        ({"minLength": 1}, "minLength"),
        ({"type": ["number", "null"], "maximum": 1}, "maximum"),
        ({"type": ["integer", "number"], "maximum": 1}, "maximum"),
        ({"type": "integer", "multipleOf": 2}, "multipleOf"),
        ({"type": "string", "format": "date", "maxLength": 3}, "maxLength"),
        ({"type": "array", "items": {}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"type": "array", "prefixItems": [{}], "items": {}}, "items"),
        ({"type": "array", "prefixItems": [{}], "maxItems": 3}, "maxItems"),
        ({"type": "object", "minProperties": 1}, "minProperties"),
        ({"type": "object", "patternProperties": {"a": {}}}, "patternProperties"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "required"),
        ({"not": {}}, "not"),
        ({"if": {}}, "if"),
        ({"$ref": "#/$defs/a", "maxLength": 3, "$defs": {"a": {}}}, "maxLength"),
        ({"anyOf": [{}], "properties": {}}, "properties"),
        ({"allOf": [{"type": "string"}]}, "allOf"),
        ({"allOf": [{"$ref": "#/$defs/s"}], "$defs": {"s": {"type": "string"}}}, "allOf"),
        ({"enum": ["a"], "maxLength": 3}, "maxLength"),
    ],
)
def test_check_held_when_it_does_not(schema: dict[str, Any], keyword: str) -> None:
    """Each keyword that the grammar would leave out is refused by its place."""
    with pytest.raises(Unsupported) as caught:
        check_held(
            {"type": "array", "items": schema, "$defs": schema.get("$defs", {})}, WHERE, deployment="tiny"
        )
    assert caught.value.param == f"{WHERE}.items.{keyword}"
    assert f"'{keyword}'" in caught.value.message


KEYWORDS = sorted({*CONSTRAINTS, "$defs", "format", "title"})
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2.5, "", "string", "object", "a", "#", "#/$defs/a", "^a+$", "(", "date"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), JUNK, max_size=5))
@settings(max_examples=500)
def test_everything_when_schema_is_junk(schema: dict[str, Any]) -> None:
    """Whatever stands under a keyword, a schema passes or is refused: nothing else ever happens, and it is left as it was."""
    before = copy.deepcopy(schema)
    with suppress(ClientError):
        check_schema(schema, WHERE)
        check_held(schema, WHERE, deployment="m")
        fitted(schema, WHERE, deployment="m")
        fitted(schema, WHERE, deployment="m", root="#/$defs/f0")
    assert schema == before
