"""Requests that end with words of the assistant, from each dialect to each other."""

from typing import Any

import pytest

from ingot.canonical import Origin, ReasoningSettings, Request, Text, ToolCall, Turn, matters
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination
from ingot.dialects.codecs import CODECS

USER = Turn("user", (Text("Hi", at="content"),), at="messages[0]")
WORDS = Turn("assistant", (Text("{", at="content"),), at="messages[1]")
CALL = Turn("assistant", (ToolCall("call_1", "f", "{}", at="content"),), at="messages[1]")


def told(origin: Any, target: Any, last: Turn = WORDS, **settings: Any) -> list[tuple[str, bool]]:
    """Where something of the last turn is lost, and whether it matters."""
    request = Request(origin=origin, model="m", turns=(USER, last), max_output_tokens=9000, **settings)
    _, losses = CODECS[target].encode_request(request, Destination(Origin(target, "t"), "up", Quirks()))
    return [(loss.path, matters(loss)) for loss in losses if loss.path.startswith("messages[1]")]


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_prefill_matters_when_the_target_does_not_continue_it(target: str) -> None:
    """It is refused unless the deployment has it told."""
    assert told("messages", target) == [("messages[1]", True)]
    assert told("messages", target, CALL) == []


@pytest.mark.parametrize("origin", ["chat", "responses"])
def test_last_turn_is_told_when_it_becomes_a_prefill(origin: str) -> None:
    """As a hint; a model that thinks continues nothing, so that it is refused then."""
    assert told(origin, "messages") == [("messages[1]", False)]
    assert told(origin, "messages", reasoning=ReasoningSettings(effort="high")) == [("messages[1]", True)]
    assert told(origin, "messages", CALL) == []


@pytest.mark.parametrize(("origin", "target"), [("chat", "responses"), ("responses", "chat")])
def test_last_turn_is_not_told_when_both_dialects_answer_it(origin: str, target: str) -> None:
    """It means the same there."""
    assert told(origin, target) == []
