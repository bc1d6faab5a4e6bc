"""JSON from strangers: what is refused and where, and that untouched values keep their bytes."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.errors import InvalidRequest
from ingot.rawjson import (
    Body,
    JsonLimits,
    Place,
    clip,
    deeper_than,
    kind_of,
    large,
    parse,
    replaced,
    splice,
    splice_bytes,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=6)
WRITERS = st.sampled_from(
    [
        msgspec.json.encode,
        lambda value: json.dumps(value).encode(),
        lambda value: json.dumps(value, indent=2, ensure_ascii=False).encode(),
    ]
)


def refusal(data: bytes, **limits: Any) -> InvalidRequest:
    """The error that `data` is refused with."""
    with pytest.raises(InvalidRequest) as caught:
        parse(data, limits=JsonLimits(**limits))
    return caught.value


@given(OBJECTS, WRITERS)
def test_parse_when_valid(value: dict[str, Any], write: Any) -> None:
    """Any object that JSON can hold is taken, however it is written, and its bytes are kept."""
    data = write(value)
    body = parse(data)
    assert body.data is data
    assert body.value == value


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_parse_when_random(data: bytes) -> None:
    """Random bytes are an object or an InvalidRequest, and nothing else."""
    with suppress(InvalidRequest):
        assert type(parse(data).value) is dict


@given(OBJECTS, WRITERS, st.data())
def test_parse_when_mutated(value: dict[str, Any], write: Any, data: st.DataObject) -> None:
    """A valid body with one byte changed is taken or refused, and never breaks anything."""
    body = bytearray(write(value))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InvalidRequest):
        assert parse(bytes(body)).value == json.loads(bytes(body))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"a":', "it ends too early, at line 1, column 6 (byte 5)"),
        (b'{"a":\n 1,\n  b}', "object keys must be strings, at line 3, column 3 (byte 12)"),
        (b'{"a":1}x', "trailing characters, at line 1, column 9"),
        (b'{"a":1,}', "trailing comma"),
        (b"\xef\xbb\xbf{}", "it starts with a byte order mark"),
        (b'{"a":"\xff"}', "it is not UTF-8, at line 1, column 7 (byte 6)"),
        (b'{"a":"\xed\xa0\x80"}', "it is not UTF-8"),
        (b'{"a":NaN}', "invalid character"),
        (b'{"a":-Infinity}', "invalid character"),
        (b'{"a":1e999}', "number out of range"),
        (b'{"a":01}', "invalid number"),
        (b'{"a":"\n"}', "invalid character"),
        (b'{"a":"\\ud800"}', "half of a surrogate pair stands alone, at line 1, column 7"),
        (b'{"a":"\\udc00 and more"}', "half of a surrogate pair stands alone"),
        (b'{"a":"\\ud800\\ud801"}', "half of a surrogate pair stands alone"),
        (b'{"\\ud800":1}', "half of a surrogate pair stands alone"),
    ],
)
def test_parse_when_malformed(data: bytes, words: str) -> None:
    """What is no JSON is refused with what is wrong, and where."""
    error = refusal(data)
    assert words in error.message
    assert (error.status, error.code) == (400, "invalid_json")


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"1", b"null", b"true", b"1.5"])
def test_parse_when_not_an_object(data: bytes) -> None:
    """A body that is JSON but no object is refused as the wrong type."""
    error = refusal(data)
    assert error.code == "invalid_type"
    assert "must be a JSON object" in error.message


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b'{"a":1,"a":1}', "a"),
        (b'{"a":1, "b":{"c":1 ,\n"c" :2}}', "c"),
        (b'{"b":[{"\\u0061":1,"a":2}]}', "a"),
        (b'{"x":"\\u0022:","a":1,"a":2}', "a"),
        (b'{"x":1.00,"a":1,"a":1}', "a"),
        (b'{"":1,"":1}', ""),
    ],
)
def test_parse_when_key_is_duplicate(data: bytes, key: str) -> None:
    """A key given twice in one object is refused at any depth and in any spelling."""
    error = refusal(data)
    assert error.param == key
    assert "given twice" in error.message


def test_parse_when_same_key_in_two_objects() -> None:
    """The same key in two objects is no duplicate, whatever the body's spelling."""
    assert parse(b'{"a" : {"a":1.00}, "b": [{"a":"\\u00e9"},{"a":2}]}').value["b"][0] == {"a": "é"}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_parse_when_deep(opening: bytes) -> None:
    """64 levels are taken, the 65th is refused, and so is a depth that no decoder would survive."""
    closing = b"]" if opening == b"[" else b"}"
    assert "a" in parse(b'{"a":' + opening * 63 + b"1" + closing * 63 + b"}").value
    assert "at most 64 levels" in refusal(b'{"a":' + opening * 64 + b"1" + closing * 64 + b"}").message
    assert "at most 64 levels" in refusal(opening * 20_000).message


def test_parse_when_many_brackets_are_flat() -> None:
    """Many objects side by side are not deep."""
    assert len(parse(b'{"a":[' + b"{}," * 200 + b"{}]}").value["a"]) == 201


@pytest.mark.parametrize(
    "bomb",
    [
        b"[]," * 70_000,
        b'["",' * 110_000,
        b'{"a":"\\\\",' * 90_000,
        b"[" * 210_000,
        b'{"a":[' + b"1," * 200_000 + b"1]}",
    ],
)
def test_parse_when_structure_is_a_bomb(bomb: bytes) -> None:
    """More than 200,000 structural characters are refused before anything is decoded."""
    assert "too much JSON structure" in refusal(bomb).message


def test_parse_when_structure_is_text() -> None:
    """Brackets and commas inside of strings are no structure, escaped quotes or not."""
    text = '[],{}:"\\' * 60_000
    assert parse(json.dumps({"a": text}).encode()).value == {"a": text}


@pytest.mark.parametrize(
    ("data", "path", "code"),
    [
        (b'{"a":9007199254740993}', "a", "integer_above_max_value"),
        (b'{"a":[1,{"b":-9007199254740993}]}', "a[1].b", "integer_below_min_value"),
        (b'{"seed":9223372036854775808}', "seed", "integer_above_max_value"),
        (b'{"a":{"seed":9007199254740993}}', "a.seed", "integer_above_max_value"),
        (b'{"parameters":9007199254740993}', "parameters", "integer_above_max_value"),
        (b'{"input":[{"id":9007199254740993}]}', "input[0].id", "integer_above_max_value"),
        (b'{"a":[{"type":"text","input":9007199254740993}]}', "a[0].input", "integer_above_max_value"),
        (
            b'{"a":[{"type":"tool_use","input":{"id":18446744073709551616}}]}',
            "a[0].input.id",
            "integer_above_max_value",
        ),
        (
            b'{"tools":[{"parameters":{"minimum":-9223372036854775809}}]}',
            "tools[0].parameters.minimum",
            "integer_below_min_value",
        ),
    ],
)
def test_parse_when_integer_is_too_large(data: bytes, path: str, code: str) -> None:
    """An integer that other readers of JSON would round is refused where it stands."""
    error = refusal(data)
    assert (error.param, error.code) == (path, code)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":9007199254740992,"b":-9007199254740992}',
        b'{"seed":9223372036854775807}',
        b'{"seed":-9223372036854775808}',
        b'{"messages":[{"content":[{"type":"tool_use","input":{"user_id":1234567890123456789}}]}]}',
        b'{"tools":[{"input_schema":{"properties":{"a":{"maximum":9223372036854775807}}}}]}',
        b'{"tools":[{"function":{"parameters":{"maximum":18446744073709551615}}}]}',
        b'{"text":{"format":{"schema":{"enum":[-9223372036854775808]}}}}',
        b'{"a":"12345678901234567890"}',
        b'{"a":0.12345678901234567890}',
    ],
)
def test_parse_when_digits_are_many_but_fine(data: bytes) -> None:
    """2^53 itself, an int64 seed, 64 bits in schemas and inputs of tools, fractions and digits in strings are taken."""
    assert parse(data).data == data


@given(OBJECTS, WRITERS, st.dictionaries(TEXTS, VALUES, max_size=3), st.sets(TEXTS, max_size=2))
def test_splice_when_keys_change(
    value: dict[str, Any], write: Any, new: dict[str, Any], drop: set[str]
) -> None:
    """Only the named keys change: the others keep their very bytes."""
    body = parse(write(value))
    before = {key: bytes(raw) for key, raw in body.raw.items()}
    keys = [*new, *list(value)[:1]]
    replace = {key: msgspec.json.encode(new.get(key, "new")) for key in keys}
    after = parse(splice(body, replace=replace, drop=drop))
    expected = {key: raw for key, raw in before.items() if key not in drop or key in replace} | replace
    assert {key: bytes(raw) for key, raw in after.raw.items()} == expected


@given(OBJECTS, WRITERS)
def test_splice_when_nothing_changes(value: dict[str, Any], write: Any) -> None:
    """Setting a key to the bytes that it has, or dropping one that is not there, gives the client's own bytes."""
    body = parse(write(value))
    same = {key: bytes(raw) for key, raw in body.raw.items()}
    assert splice(body, replace={}) is body.data
    assert splice(body, replace=same) == body.data
    assert splice_bytes(body.data, replace=same, drop={"not there" * 2}) is body.data


@pytest.mark.parametrize(
    "data",
    [
        b'{"x":{"model":"a"},"model":"a"}',
        b'{"x":"model","model": "a" }',
        b'{"mod\\u0065l":"a","x":{"model":"a"}}',
        b'{"model" :\n"a","x":1.00}',
        b'{"model":1.00,"x":{"model":1.0}}',
    ],
)
def test_splice_when_key_is_hard_to_find(data: bytes) -> None:
    """The top-level key is replaced, never its namesake deeper down or the start of a longer number."""
    body = parse(data)
    after = parse(splice(body, replace={"model": b'"b"'}))
    assert after.value == {**body.value, "model": "b"}


def test_splice_when_large() -> None:
    """A body of any size keeps its other values."""
    body = parse(json.dumps({"messages": ["x" * 10_000], "model": "a"}).encode())
    assert (
        splice(body, replace={"model": b'"b"'})
        == b'{"messages":' + bytes(body.raw["messages"]) + b',"model":"b"}'
    )


def test_splice_bytes_when_not_an_object() -> None:
    """An answer that is no object is the caller's to report."""
    with pytest.raises(ValueError, match="object"):
        splice_bytes(b"[]", replace={"a": b"1"})


def test_small_helpers() -> None:
    """Sizes, kinds, clipping and depth say what their names promise."""
    assert large(b"x" * (256 * 1024 + 1))
    assert not large(b"x" * (256 * 1024))
    assert [kind_of(json.loads(text)) for text in ("null", "true", "1", "1.5", '""', "[]", "{}")] == [
        "null",
        "a boolean",
        "an integer",
        "a number",
        "a string",
        "an array",
        "an object",
    ]
    assert clip("x" * 101) == "x" * 97 + "..."
    assert not deeper_than(0, 1)
    assert deeper_than(0, [])
    assert not deeper_than(2, [{}, 1])
    assert parse(b"{}") == Body(b"{}", {})


def places(value: Any, above: Place = ()) -> list[Place]:
    """Every place in a tree but its root."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for step, child in steps for place in ((*above, step), *places(child, (*above, step)))]


@given(
    st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.data(),
)
def test_replaced_when_any_place_is_named(
    tree: dict[str, Any],
    indent: int | str | None,
    ascii_only: bool,  # noqa: FBT001  # a drawn value
    data: st.DataObject,
) -> None:
    """However the body is written, what is not replaced keeps its bytes, and the tree is the one that was meant."""
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    body = parse(f" {text}\n".encode())
    place = data.draw(st.sampled_from(places(tree)))
    edited = replaced(body, {place: "the new one"})
    assert json.loads(edited.data) == edited.value
    node: Any = edited.value
    for step in place:
        node = node[step]
    assert node == "the new one"
    assert parse(edited.data).value == edited.value
    assert json.loads(body.data) == body.value == tree
    start, _, end = edited.data.partition(b'"the new one"')
    assert body.data.startswith(start)
    assert body.data.endswith(end)


def test_replaced_when_several_places_are_named() -> None:
    """All are replaced at once, and every other byte stays: spaces, escapes, and the way numbers are written."""
    data = b' { "a" : [ 1.00 , {"x\\"\\u0079" : "old" , "z":[]}  ,3e0 ] , "b" :2 } '
    edits = {("a", 1, 'x"y'): "new", ("b",): [1], ("a", 2): None}
    edited = replaced(parse(data), edits)
    assert edited.data == b' { "a" : [ 1.00 , {"x\\"\\u0079" : "new" , "z":[]}  ,null ] , "b" :[1] } '


def test_replaced_when_nothing_is_named() -> None:
    """No edit, no change."""
    body = parse(b'{ "a":1 }')
    assert replaced(body, {}) == body


@pytest.mark.parametrize("place", [("c",), ("a", 3), ("a", 0, "x")])
def test_replaced_when_the_place_is_not_there(place: Place) -> None:
    """A place that does not exist is a mistake of the caller's."""
    with pytest.raises((KeyError, msgspec.DecodeError)):
        replaced(parse(b'{"a":[1,2]}'), {place: 1})
