"""Named checks and rewrites: one test for each at least."""

from typing import Any

import pytest

from ingot import rawjson
from ingot.errors import InvalidRequest
from ingot.presets.named import CHECKS, REWRITES, asap_or_standard, no_input_audio, system_message

AUDIO = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}


def test_names_are_those_of_the_functions() -> None:
    """A preset's file names the code that it means."""
    for name, function in {**CHECKS, **REWRITES}.items():
        assert getattr(function, "__name__", None) == name


def test_audio_is_found_when_any_message_has_a_part_of_it() -> None:
    """The refusal names the part by its path."""
    text = {"type": "text", "text": "Hi"}
    messages = [{"role": "user", "content": "Hi"}, {"role": "user", "content": [text, AUDIO]}]
    error = no_input_audio(messages)
    assert error is not None
    assert (error.param, error.code) == ("messages[1].content[1].type", "unsupported_value")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "text",
        None,
        [{"role": "user", "content": "input_audio"}],
        [1, {"content": [1, {"type": "text"}]}, {}],
    ],
)
def test_audio_is_not_found_when_there_is_none(messages: Any) -> None:
    """Other content passes, and what is not even of the right type is the dialect's business."""
    assert no_input_audio(messages) is None


@pytest.mark.parametrize(
    ("metadata", "right"),
    [
        ({"completion_window": "asap"}, True),
        ({"completion_window": "standard"}, True),
        ({"completion_window": "flex"}, False),
        ({"completion_window": 5}, True),
        ({"team": "flex"}, True),
        ({}, True),
        ([], True),
    ],
)
def test_completion_window_is_one_of_two(metadata: Any, right: bool) -> None:  # noqa: FBT001  # a table's column
    """Anything else in metadata is nobody's business here, and types are the dialect's."""
    error = asap_or_standard(metadata)
    assert (error is None) is right
    if error is not None:
        assert (error.param, error.code) == ("metadata.completion_window", "unsupported_value")


def test_system_text_leads_when_it_stands_beside_the_messages() -> None:
    """It becomes the first message; the other messages and the text itself keep their bytes."""
    data = b'{"system": "Be \\u0062rief.", "messages": [ {"role": "user",  "content": "Hi"}], "model": "m"}'
    body = rawjson.parse(data)
    assert system_message(body, "system") == {
        "system": None,
        "messages": b'[{"role":"system","content":"Be \\u0062rief."}, {"role": "user",  "content": "Hi"}]',
    }


@pytest.mark.parametrize("messages", [b"[]", b"null", b'"x"'])
def test_system_text_stays_when_there_are_no_messages(messages: bytes) -> None:
    """The dialect then says what is wrong with the messages."""
    assert system_message(rawjson.parse(b'{"system":"x","messages":' + messages + b"}"), "system") == {}


def test_system_text_is_refused_when_it_is_no_text() -> None:
    """The field is named, not the message that it would have become."""
    with pytest.raises(InvalidRequest, match="expected a string, but got an array") as caught:
        system_message(rawjson.parse(b'{"system":[],"messages":[{}]}'), "system")
    assert caught.value.param == "system"
