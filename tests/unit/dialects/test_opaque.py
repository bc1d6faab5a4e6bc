"""Embeddings and legacy completions: checked at the door, verbatim behind it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS, decode_completions, decode_embeddings
from ingot.errors import ApiError, InvalidRequest

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3),
)


def embeddings(**fields: Any) -> Call:
    """What an embeddings request with `fields` decodes to."""
    return decode_embeddings(json.dumps({"model": "m", "input": "x", **fields}).encode())


def completions(**fields: Any) -> Call:
    """What a completions request with `fields` decodes to."""
    return decode_completions(json.dumps({"model": "m", "prompt": "x", **fields}).encode())


def outcome_of(dialect: Dialect, data: bytes) -> Call | ApiError:
    """The call, or the error that `data` is refused with."""
    try:
        return dialect.decode(data)
    except ApiError as error:
        return error


@pytest.mark.parametrize("kind", ["x", ["x"], ["x"] * 2048, [1, 2], [0] * 3000, [[1], [2, 3]]])
def test_embeddings_when_input_is_good(kind: Any) -> None:
    """Text, texts, tokens and lists of tokens are taken."""
    call = embeddings(input=kind, dimensions=8, encoding_format="base64", user="u", input_type="query")
    assert call == Call(model="m", body=call.body, max_tokens=0)
    assert call.body.value["input"] == kind


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": ""}, "input", "empty_string"),
        ({"input": []}, "input", "empty_array"),
        ({"input": ["x", ""]}, "input[1]", "empty_string"),
        ({"input": [[1], []]}, "input[1]", "empty_array"),
        ({"input": ["x", 1]}, "input", "invalid_type"),
        ({"input": None}, "input", "invalid_type"),
        ({"input": [True]}, "input[0]", "invalid_type"),
        ({"input": [-1]}, "input[0]", "integer_below_min_value"),
        ({"input": ["x"] * 2049}, "input", "array_above_max_length"),
        ({"model": ""}, "model", "empty_string"),
        ({"dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"dimensions": None}, "dimensions", "invalid_type"),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
        ({"user": 1}, "user", "invalid_type"),
    ],
)
def test_embeddings_when_refused(fields: dict[str, Any], param: str, code: str) -> None:
    """What the contract rules out is refused by its path."""
    with pytest.raises(InvalidRequest) as caught:
        embeddings(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("fields", "n"),
    [
        ({"prompt": "", "n": 2, "best_of": 2, "logprobs": 5, "echo": True, "suffix": "s"}, 2),
        ({"prompt": ["x", ""], "n": 3, "best_of": 20, "stop": "a"}, 6),  # of 40 that are generated
        ({"prompt": [1, 2], "best_of": 0, "max_tokens": 0}, 1),
        ({"prompt": [[1], [2]], "n": None, "stop": ["a"], "seed": 2**63 - 1}, 2),
    ],
)
def test_completions_when_good(fields: dict[str, Any], n: int) -> None:
    """Each kind of prompt is taken, and each prompt gets its answers."""
    call = completions(**fields, stream=True, stream_options={"include_usage": True})
    assert (call.n, call.stream, call.wants_usage) == (n, True, True)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": []}, "prompt", "empty_array"),
        ({"prompt": ["x", [1]]}, "prompt", "invalid_type"),
        ({"best_of": 21}, "best_of", "integer_above_max_value"),
        ({"best_of": 1, "n": 2}, "best_of", "invalid_value"),
        ({"logprobs": 6}, "logprobs", "integer_above_max_value"),
        ({"logprobs": True}, "logprobs", "invalid_type"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"stop": ["x"] * 5}, "stop", "array_above_max_length"),
        ({"suffix": 1}, "suffix", "invalid_type"),
        ({"echo": "yes"}, "echo", "invalid_type"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
    ],
)
def test_completions_when_refused(fields: dict[str, Any], param: str, code: str) -> None:
    """What the contract rules out is refused by its path."""
    with pytest.raises(InvalidRequest) as caught:
        completions(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


@given(ANY)
def test_decode_when_any_input(value: Any) -> None:
    """Whatever stands where the text should be, the outcome is a call or an ApiError."""
    for dialect, field in ((EMBEDDINGS, "input"), (COMPLETIONS, "prompt")):
        outcome = outcome_of(dialect, json.dumps({"model": "m", field: value}).encode())
        if isinstance(outcome, Call):
            assert outcome.n >= 1
        else:
            assert outcome.param is not None
            assert outcome.param.startswith(field)


def test_surfaces_when_named() -> None:
    """Each surface has its name and its path below a target's base URL."""
    assert (EMBEDDINGS.name, EMBEDDINGS.path) == ("embeddings", "/embeddings")
    assert (COMPLETIONS.name, COMPLETIONS.path) == ("completions", "/completions")
