"""Targets that answer anything: what comes of it is an answer or a ValueError, and never another error."""

import copy
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.canonical import Origin, Request, Turn
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.events import AnyEvent, fold
from ingot.rawjson import Body
from ingot.sse import SseSplitter, event_data

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "150"))
CASES = Path(__file__).parents[3] / "contract" / "chat"
ANSWERS = [json.loads(path.read_bytes()) for path in sorted(CASES.glob("*/upstream.json"))]
STREAMS = [
    [data for event in SseSplitter().feed(path.read_bytes()) if (data := event_data(event)) is not None]
    for path in sorted(CASES.glob("*/upstream.sse"))
]
HERE = Origin("chat", "t")
ASKED = Request(origin="chat", model="m", turns=(Turn("user", ()),), stream_usage=True)
REPLY = Reply("c", "m", 1, ASKED, Body(b"{}", {}))
ODD = st.sampled_from(
    [None, True, -1, 0.5, "", "x", "é", [], [1], ["x"], [None], {}, {"a": 1}, {"type": "text"}]
)


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The value with something odd in its place, or in some place below it."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(ODD)
    value = copy.copy(value)
    key: Any = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    if isinstance(value, dict) and draw(st.integers(0, 5)) == 0:
        value[draw(st.sampled_from(["content", "tool_calls", "image_url", "custom", key]))] = draw(ODD)
    else:
        value[key] = draw(mutated(value[key]))
    return value


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), value=st.sampled_from(ANSWERS), times=st.integers(1, 3))
def test_answer_when_anything_stands_anywhere(data: st.DataObject, value: Any, times: int) -> None:
    """It is refused, or it can be told to a client."""
    for _ in range(times):
        value = data.draw(mutated(value))
    try:
        answer, _ = CHAT_CODEC.decode_answer(json.dumps(value).encode(), HERE)
    except ValueError:
        return
    assert len(json.loads(CHAT_CODEC.encode_answer(answer, REPLY)[0])["choices"]) == len(answer.outputs)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), stream=st.sampled_from(STREAMS), times=st.integers(1, 3))
def test_stream_when_anything_stands_anywhere(data: st.DataObject, stream: list[bytes], times: int) -> None:
    """It is refused at some event, and all before that can be folded and told to a client."""
    chunks = [json.loads(each) if each.startswith(b"{") else None for each in stream]
    for _ in range(times):
        at = data.draw(st.integers(0, len(chunks) - 1))
        chunks[at] = data.draw(mutated(chunks[at]))
    decoder, events = CHAT_CODEC.decode_stream(HERE, 1), list[AnyEvent]()
    with suppress(ValueError):
        for chunk in chunks:
            events += decoder.feed(b"[DONE]" if chunk is None else json.dumps(chunk).encode())
    if events:
        assert CHAT_CODEC.encode_stream(REPLY).feed(events) is not None
    with suppress(ValueError):
        assert fold(events).origin == HERE


def test_stream_when_text_follows_what_is_none() -> None:
    """A field that held no text at first holds the text that comes."""
    decoder, events = CHAT_CODEC.decode_stream(HERE, 1), list[AnyEvent]()
    for told in (True, "Hm."):
        choice = {"index": 0, "delta": {"reasoning_content": told}, "finish_reason": None}
        events += decoder.feed(json.dumps({"id": "1", "choices": [choice]}).encode())
    assert b'"reasoning_content":"Hm."' in CHAT_CODEC.encode_stream(REPLY).feed(events)
