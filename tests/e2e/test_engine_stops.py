"""`/v1/messages` on the embedded engine: which stop sequence ended an answer, as the engine tells it."""

import json
from typing import Any

import pytest
from anthropic import Anthropic

from messagehouse import ask, body_of, events
from served import Served

MODEL = "demo-tiny"


def asked(demo: Served, **fields: Any) -> dict[str, Any]:
    """The engine's most likely answer."""
    _, headers, answer, _ = ask(demo, body_of("Hello.", model=MODEL, temperature=0, **fields))
    assert "stop" not in headers.get("x-ingot-loss", ""), headers
    message: dict[str, Any] = json.loads(answer)
    return message


def said(message: dict[str, Any]) -> str:
    """The text of a message."""
    return "".join(block["text"] for block in message["content"])


def test_stop_sequence_is_told_when_the_engine_met_it(demo: Served) -> None:
    """The one of several that ended the answer, whole and streamed, also by the official client."""
    whole = said(asked(demo))
    stop = whole[3:7]
    wanted = ("stop_sequence", stop)
    cut = asked(demo, stop_sequences=["never said", stop])
    assert ((cut["stop_reason"], cut["stop_sequence"]), said(cut)) == (wanted, whole[:3])
    body = body_of("Hello.", model=MODEL, temperature=0, stop_sequences=["never said", stop], stream=True)
    _, _, stream, _ = ask(demo, body)
    told = events(stream)
    (end,) = [data["delta"] for name, data in told if name == "message_delta"]
    assert (end["stop_reason"], end["stop_sequence"]) == wanted
    assert "".join(data["delta"]["text"] for name, data in told if name == "content_block_delta") == whole[:3]
    with Anthropic(base_url=demo.url, api_key=demo.key, max_retries=0) as client:
        message = client.messages.create(
            model=MODEL,
            max_tokens=64,
            messages=[{"role": "user", "content": "Hello."}],
            stop_sequences=[stop],
            extra_body={"temperature": 0},
            extra_headers={"anthropic-version": "2023-06-01"},
        )
    assert (message.stop_reason, message.stop_sequence) == wanted


@pytest.mark.parametrize(("fields", "reason"), [({}, "end_turn"), ({"max_tokens": 2}, "max_tokens")])
def test_no_stop_sequence_is_told_when_none_was_met(
    demo: Served, fields: dict[str, Any], reason: str
) -> None:
    """An answer that ended by itself, and one that was cut."""
    message = asked(demo, stop_sequences=["never said"], **fields)
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, None)


def test_nothing_more_is_told_when_the_client_speaks_chat(demo: Served) -> None:
    """The engine is asked nothing that a client of its own dialect did not ask."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hello."}],
        "temperature": 0,
        "stop": ["o"],
    }
    _, _, answer, _ = ask(demo, body, path="/v1/chat/completions")
    assert "__verbose" not in json.loads(answer)
