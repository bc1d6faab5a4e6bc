"""The verbs of field rules: what each refuses, fills in and takes away, and that nothing else changes."""

import json
from typing import Any

import pytest

from ingot import rawjson
from ingot.errors import ApiError
from ruled import ask, body_of, refusal, written


def changed(rules: str, body: bytes) -> bytes:
    """A chat body as these rules leave it."""
    return written(f"[fields.chat]\n{rules}").rules["chat"].applied(rawjson.parse(body))


@pytest.mark.parametrize(
    ("rules", "fields", "param", "code", "words"),
    [
        ('stop = "reject"', {"stop": "x"}, "stop", "unsupported_parameter", "'stop' is not supported"),
        ('user = "require"', {}, "user", "missing_required_parameter", "Missing required parameter: 'user'"),
        ('user = "require"', {"user": None}, "user", "missing_required_parameter", "Missing"),
        ("n = { one_of = [1] }", {"n": 2}, "n", "unsupported_value", "expected 1, but got 2."),
        (
            'verbosity = { one_of = ["low", "high"] }',
            {"verbosity": "medium"},
            "verbosity",
            "unsupported_value",
            "expected 'low' or 'high', but got 'medium'.",
        ),
        (
            "temperature = { range = { min = 0, max = 1.5 } }",
            {"temperature": 1.6},
            "temperature",
            "decimal_above_max_value",
            "expected a number from 0 to 1.5, but got 1.6.",
        ),
        ("seed = { range = { min = 1 } }", {"seed": 0}, "seed", "integer_below_min_value", "of at least 1"),
        ("seed = { range = { max = 9 } }", {"seed": 10}, "seed", "integer_above_max_value", "of at most 9"),
        (
            "user = { max_len = 3 }",
            {"user": "four"},
            "user",
            "string_above_max_length",
            "expected at most 3, but got a string of 4.",
        ),
        ("stop = { max_len = 1 }", {"stop": ["a", "b"]}, "stop", "array_above_max_length", "too many items"),
        ("metadata = { max_len = 1 }", {"metadata": {"a": "1", "b": "2"}}, "metadata", "object_above_max_properties", "properties"),
        ('"*" = "reject"\nmodel = "accept"\nmessages = "accept"', {"top_k": 3}, "top_k", "unknown_parameter", "'top_k' is not a known parameter"),
        ('stop = { reject = true, error = "no_stop", note = "Never." }', {"stop": "x"}, "stop", "no_stop", "Leave it out. Never."),
    ],
)  # fmt: skip
def test_field_is_refused_when_its_rule_says_so(
    rules: str, fields: dict[str, Any], param: str, code: str, words: str
) -> None:
    """Each verb that refuses names the field, with a code and the words that say what would be right."""
    error = refusal(written(f"[fields.chat]\n{rules}"), fields)
    assert (error.param, error.code) == (param, code)
    assert words in error.message


@pytest.mark.parametrize(
    ("rules", "fields"),
    [
        ('stop = "reject"', {"stop": None}),
        ("n = { one_of = [1] }", {"n": 1}),
        ("n = { one_of = [1] }", {"n": None}),
        ("temperature = { range = { min = 0, max = 1 } }", {"temperature": 0}),
        ("temperature = { range = { min = 0, max = 1 } }", {"temperature": 1.0}),
        ("user = { max_len = 3 }", {"user": "abc"}),
        ('user = "require"', {"user": "abc"}),
        ('"*" = "accept"', {"top_k": 3}),
        ('stop = "accept"', {"stop": "x"}),
        ('"*" = "reject"\nmodel = "accept"\nmessages = "accept"', {"top_k": None}),
    ],
)
def test_body_keeps_its_bytes_when_no_rule_is_broken(rules: str, fields: dict[str, Any]) -> None:
    """What is allowed passes as it came; a field that is null counts as not given."""
    call = ask(written(f"[fields.chat]\n{rules}"), fields)
    assert body_of(call).items() >= fields.items()


@pytest.mark.parametrize(
    ("rules", "before", "after"),
    [
        ('x = "drop"', b'{"a": 1.0, "x": [1]}', b'{"a":1.0}'),
        ('x = "drop"', b'{"a": 1.0}', b'{"a": 1.0}'),
        ('"*" = "drop"\na = "accept"', b'{"a":1.0,"x":2,"y":null}', b'{"a":1.0}'),
        ("x = { default = 7 }", b'{"a": 1.0}', b'{"a": 1.0,"x":7}'),
        ("x = { default = 7 }", b'{"a":1.0,"x":null}', b'{"a":1.0,"x":7}'),
        ("x = { default = 7 }", b'{"a": 1.0, "x": 0}', b'{"a": 1.0, "x": 0}'),
        ('x = { set = ["s"] }', b'{"x":1,"a":1.0}', b'{"x":["s"],"a":1.0}'),
        ('x = { set = ["s"] }', b'{"x": ["s"]}', b'{"x": ["s"]}'),
        ("x = [{ one_of = [1] }, { default = 1 }]", b'{"a":1.0}', b'{"a":1.0,"x":1}'),
    ],
)
def test_only_ruled_fields_change_when_rules_change_a_body(rules: str, before: bytes, after: bytes) -> None:
    """Fields are filled in, set or taken away; all other values keep their bytes."""
    assert changed(rules, before) == after


@pytest.mark.parametrize(
    ("when", "others", "counts"),
    [
        ("equals = true", {"stream": True}, True),
        ("equals = true", {"stream": False}, False),
        ("equals = true", {}, False),
        ("differs = true", {"stream": True}, False),
        ("differs = true", {"stream": False}, True),
        ("differs = true", {}, True),
        ("present = true", {"stream": False}, True),
        ("present = true", {}, False),
        ("present = false", {"stream": None}, True),
        ("present = false", {"stream": True}, False),
    ],
)
def test_rule_counts_when_its_condition_holds(when: str, others: dict[str, Any], counts: bool) -> None:  # noqa: FBT001  # a table's column
    """A condition on another field holds for verbs that refuse and for those that change alike."""
    condition = f'when = {{ field = "stream", {when} }}'
    body = json.dumps({"a": 1, "x": 1, **others}, separators=(",", ":")).encode()
    left = json.loads(changed(f"x = {{ drop = true, {condition} }}", body))
    assert ("x" not in left) == counts
    try:
        changed(f"x = {{ reject = true, {condition} }}", body)
        refused = False
    except ApiError:
        refused = True
    assert refused == counts


def test_wrong_type_is_told_by_the_dialect_when_a_rule_has_nothing_to_say() -> None:
    """A range says nothing about text, and a length nothing about numbers."""
    preset = written("[fields.chat]\ntemperature = { range = { max = 1 } }\nuser = { max_len = 3 }")
    assert refusal(preset, {"temperature": "hot"}).code == "invalid_type"
    assert refusal(preset, {"temperature": True}).code == "invalid_type"
    assert refusal(preset, {"user": 12345}).code == "invalid_type"


def test_unknown_name_is_clipped_when_it_is_said_back() -> None:
    """A client's own text does not flood an error."""
    preset = written('[fields.chat]\n"*" = "reject"\nmodel = "accept"\nmessages = "accept"')
    error = refusal(preset, {"k" * 5000: 1})
    assert len(error.message) < 300
    assert len(error.param or "") <= 100
