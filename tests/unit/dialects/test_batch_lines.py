"""Requests of a batch as they come: the name and the body of each, and what is refused by its place."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.dialects.batch_lines import LONGEST_NAME, Named, placed, read_line, read_request
from ingot.errors import ApiError, Forbidden, InvalidRequest, NotFound

PATIENT = settings(deadline=None)  # a busy machine is no fault
URL = "/v1/chat/completions"
LINE = {"custom_id": "a", "method": "POST", "url": URL, "body": {}}
BODIES = st.sampled_from([b'{"x": 1.50}', b"[ 1 ]", b"null", b'{"a":"\\u00e4"}', '{"a":"ä"}'.encode()])
DEEP = b"[" * 100_000 + b"]" * 100_000


def request_refusal(data: bytes) -> ApiError:
    """What an item of `requests` is refused with."""
    with pytest.raises(ApiError) as caught:
        read_request(data)
    return caught.value


def line_refusal(data: bytes) -> ApiError:
    """What a line is refused with."""
    with pytest.raises(ApiError) as caught:
        read_line(data, endpoint=URL)
    return caught.value


@PATIENT
@given(st.text("abzAZ09_-", min_size=1, max_size=64), BODIES)
def test_bodies_keep_their_bytes_when_read(name: str, body: bytes) -> None:
    """In both shapes and in any order of their members."""
    named = json.dumps(name).encode()
    expected = Named(name, body)
    assert read_request(b'{"custom_id":%b,"params":%b}' % (named, body)) == expected
    assert read_request(b' { "params" : %b , "custom_id" : %b } ' % (body, named)) == expected
    line = b'{"url":"%b","body":%b,"method":"POST","custom_id":%b}' % (URL.encode(), body, named)
    assert read_line(line, endpoint=URL) == expected


@pytest.mark.parametrize(
    ("data", "param", "code", "words"),
    [
        (b"{}", "custom_id", "missing_required_parameter", "custom_id"),
        (b'{"custom_id":"a"}', "params", "missing_required_parameter", "params"),
        (b'{"params":{}}', "custom_id", "missing_required_parameter", "custom_id"),
        (b'{"custom_id":1,"params":{}}', "custom_id", "invalid_type", "expected a string"),
        (b'{"custom_id":null,"params":{}}', "custom_id", "invalid_type", "got null"),
        (b'{"custom_id":"","params":{}}', "custom_id", "invalid_value", "1 to 64 letters"),
        (b'{"custom_id":"%b","params":{}}' % (b"x" * 65), "custom_id", "invalid_value", "1 to 64 letters"),
        (b'{"custom_id":"a b","params":{}}', "custom_id", "invalid_value", "got 'a b'"),
        (b'{"custom_id":"a\\n","params":{}}', "custom_id", "invalid_value", "1 to 64 letters"),
        ('{"custom_id":"ä","params":{}}'.encode(), "custom_id", "invalid_value", "1 to 64 letters"),
        (b'{"custom_id":"a","params":{},"url":"x"}', "url", "unknown_parameter", "'custom_id', 'params'"),
        (b"[1]", None, "invalid_type", "expected an object, but got an array"),
        (b"1", None, "invalid_type", "expected an object, but got an integer"),
    ],
)
def test_request_is_refused_by_the_member_that_is_wrong(
    data: bytes, param: str | None, code: str, words: str
) -> None:
    """With what would be right."""
    error = request_refusal(data)
    assert (error.param, error.code, error.status) == (param, code, 400)
    assert words in error.message


@pytest.mark.parametrize(
    ("change", "param", "code", "words"),
    [
        ({"method": "GET"}, "method", "invalid_value", "'POST'"),
        ({"method": 1}, "method", "invalid_type", "'POST'"),
        ({"url": "/v1/responses"}, "url", "invalid_url", f"the batch is for '{URL}'"),
        ({"url": URL + "/"}, "url", "invalid_url", f"the batch is for '{URL}'"),
        ({"custom_id": ""}, "custom_id", "empty_string", "is empty"),
        ({"custom_id": "x" * (LONGEST_NAME + 1)}, "custom_id", "string_above_max_length", "512"),
        ({"custom_id": "a\0b"}, "custom_id", "invalid_value", "U+0000"),
        ({"params": {}}, "params", "unknown_parameter", "'method', 'url', 'body'"),
    ],
)
def test_line_is_refused_by_the_member_that_is_wrong(
    change: dict[str, Any], param: str, code: str, words: str
) -> None:
    """With what would be right."""
    error = line_refusal(json.dumps(LINE | change).encode())
    assert (error.param, error.code, error.status) == (param, code, 400)
    assert words in error.message


@pytest.mark.parametrize("name", ["custom_id", "method", "url", "body"])
def test_line_is_refused_when_a_member_is_missing(name: str) -> None:
    """Each of the four is needed."""
    error = line_refusal(json.dumps({each: held for each, held in LINE.items() if each != name}).encode())
    assert (error.param, error.code) == (name, "missing_required_parameter")


def test_name_in_a_file_may_have_any_characters() -> None:
    """Names of files are the client's own; 512 of them at most."""
    for name in ("ä b/c", "x" * LONGEST_NAME, "\n"):
        assert read_line(json.dumps(LINE | {"custom_id": name}).encode(), endpoint=URL).custom_id == name


BROKEN = [
    b"",
    b"nul",
    b"{",
    b'{"custom_id":"a","params":{}} x',
    b'{"custom_id":"a","params":{},}',
    b'{"custom_id":1,}',
    b'{"x":1,}',
    b'{"custom_id":"a","params":NaN}',
    b'{"custom_id":"\\ud800","params":{}}',
    b'{"custom_id":"\xff","params":{}}',
    b'{"custom_id":1,"params":"\xff"}',
    b'{"custom_id":"a","params":' + DEEP + b"}",
    b'{"custom_id":1,"params":' + DEEP + b"}",
    b"\xef\xbb\xbf{}",
]


def test_names_that_are_taken_are_refused_where_they_are() -> None:
    """A part of one is a name as any other, and so is all of it where nothing is taken."""
    data = b'{"custom_id":"results","params":{}}'
    assert read_request(data) == Named("results", b"{}")
    assert read_request(data, taken=("results-1",)) == Named("results", b"{}")
    with pytest.raises(InvalidRequest, match="must not be 'results'") as caught:
        read_request(data, taken=("results",))
    assert caught.value.param == "custom_id"


@pytest.mark.parametrize("data", BROKEN, ids=[str(data[:32]) for data in BROKEN])
def test_what_is_no_json_is_refused_behind_a_fault_too(data: bytes) -> None:
    """Always as an error of the client, and never as one of ours: a fault further in front hides nothing."""
    for error in (request_refusal(data), line_refusal(data)):
        assert (error.code, error.status) == ("invalid_json", 400)
        assert error.message.startswith("It is not valid JSON: ")


@PATIENT
@given(st.data(), st.sampled_from([b'{"custom_id":"a","params":{"x":[1]}}', json.dumps(LINE).encode()]))
def test_mutated_request_is_taken_or_refused(data: st.DataObject, whole: bytes) -> None:
    """And nothing else ever happens."""
    body = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 2))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for read in (read_request, partial(read_line, endpoint=URL)):
        with suppress(InvalidRequest):
            assert 1 <= len(read(bytes(body)).custom_id) <= LONGEST_NAME


@pytest.mark.parametrize(
    ("param", "place", "inside", "told"),
    [
        ("messages[0].content", "requests[3]", "params", "requests[3].params.messages[0].content"),
        ("custom_id", "requests[0]", "", "requests[0].custom_id"),
        (None, "requests[0]", "params", "requests[0].params"),
        (None, "requests[0]", "", "requests[0]"),
        ("[1]", "requests[0]", "params", "requests[0].params[1]"),
        ("messages", "", "body", "body.messages"),
        ("url", "", "", "url"),
        (None, "", "", None),
    ],
)
def test_place_stands_before_the_field_when_an_error_is_placed(
    param: str | None, place: str, inside: str, told: str | None
) -> None:
    """Whatever the error was, it is the client's fault of this one body, under its own code."""
    for kind in (InvalidRequest, NotFound, Forbidden):
        made = placed(kind("It is wrong.", param=param, code="c"), place, inside=inside)
        assert (made.param, made.code, made.status) == (told, "c", 400)
        assert made.message == (f"{place}: It is wrong." if place else "It is wrong.")
