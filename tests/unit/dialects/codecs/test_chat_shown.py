"""Results of tools that hold images, for a chat target: the texts stay, and what else they hold is shown behind them."""

import json
from typing import Any

import pytest

from ingot.canonical import File, Image, Origin, Request, Text, ToolCall, ToolResult, Turn, matters
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.chat import CHAT_CODEC

PICTURE = Image(url="https://x/a.png", at="[1]")
SHOWN = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
CALLS = Turn("assistant", (ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}")), at="input[0]")


def result(number: int, *parts: Any) -> Turn:
    """A result as an item of its own."""
    return Turn(
        "tool", (ToolResult(f"c{number}", (Text(f"r{number}", at="[0]"), *parts)),), at=f"input[{number}]"
    )


def sent(
    *turns: Turn, reject: frozenset[str] = frozenset()
) -> tuple[list[dict[str, Any]], list[tuple[str, bool]]]:
    """The messages behind the calls, and places of losses, each with whether it matters."""
    request = Request(origin="responses", model="m", turns=(CALLS, *turns))
    to = Destination(Origin("chat", "t"), "m", Quirks(reject=reject))
    data, losses = CHAT_CODEC.encode_request(request, to)
    CHAT.decode(data)
    return json.loads(data)["messages"][1:], [(loss.path, matters(loss)) for loss in losses]


def test_image_is_shown_behind_all_results_when_calls_were_parallel() -> None:
    """Servers take nothing between the results; the loss of its place is told and refuses nothing."""
    told, losses = sent(result(1, PICTURE), result(2))
    assert [message["role"] for message in told] == ["tool", "tool", "user"]
    assert [message["content"] for message in told] == ["r1", "r2", [SHOWN]]
    assert losses == [("input[1][1]", False)]


def test_image_is_shown_first_when_the_user_speaks_next() -> None:
    """In one turn, for many models take no two in a row."""
    told, _ = sent(
        result(1, PICTURE), result(2, PICTURE), Turn("user", (Text("And now?", at="content"),), at="input[3]")
    )
    assert told[2:] == [{"role": "user", "content": [SHOWN, SHOWN, {"type": "text", "text": "And now?"}]}]


@pytest.mark.parametrize("role", ["assistant", "system"])
def test_image_is_shown_before_another_speaks_when_it_is_no_user(role: Any) -> None:
    """Where it stood, but for the results."""
    told, _ = sent(result(1, PICTURE), result(2), Turn(role, (Text("So.", at="content"),), at="input[3]"))
    assert [message["role"] for message in told] == ["tool", "tool", "user", role]
    assert told[2]["content"] == [SHOWN]


def test_document_is_shown_when_a_result_holds_one() -> None:
    """As an image is; one that is text stays in the result."""
    told, losses = sent(result(1, File(file_id="file-1", at="[1]"), File(text="Notes.", at="[2]")))
    assert [part["type"] for part in told[0]["content"]] == ["text", "text"]
    assert told[1] == {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}
    assert losses == [("input[1][1]", False)]


def test_image_is_lost_when_the_target_takes_none() -> None:
    """It refuses the request, then."""
    told, losses = sent(result(1, PICTURE), reject=frozenset({"image_url"}))
    assert [message["role"] for message in told] == ["tool"]
    assert losses == [("input[1][1]", True)]
