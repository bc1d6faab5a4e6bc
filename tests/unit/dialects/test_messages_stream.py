"""Streams of named events: the tap, the whole message that they fold into, and their counts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import upstream_messages as anthropic
from ingot.dialects.cuts import TextCheck
from ingot.dialects.dialect import Call, Usage
from ingot.dialects.fold import Unfoldable
from ingot.dialects.messages import MESSAGES, decode
from ingot.dialects.messages_fold import assemble
from ingot.dialects.messages_tap import MessagesTap, named_event
from ingot.dialects.messages_usage import read_usage
from ingot.dialects.usage import read_count
from ingot.services.relay import pass_on
from ingot.sse import SseSplitter
from upstream_script import Step

TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]
PROMPTS = [
    "one two three",
    'echo: caf\u00e9 "quoted" \\ \u2028 \U0001f600',
    "think: first this, then that",
    'call f with {"a": "b", "n": [1, 2]} and call f with {"c": {}}',
    "refuse: I would rather not",
]


def call_of(text: str, *, model: str = "m") -> Call:
    """A streamed request."""
    body = {"model": model, "max_tokens": 99, "stream": True, "tools": TOOLS}
    return decode(json.dumps({**body, "messages": [{"role": "user", "content": text}]}).encode())


def stream_of(call: Call, step: Step | None = None) -> bytes:
    """What the target streams."""
    return b"".join(
        named_event(json.dumps(event, ensure_ascii=False).encode())
        for event in anthropic.message_events(call.body.value, step=step)
    )


def tapped(call: Call, stream: bytes, *, public: str = "m", size: int = 10**9) -> tuple[bytes, MessagesTap]:
    """What the client gets, and the tap afterwards."""
    tap = MessagesTap(call, model="m", public=public)
    splitter, text = SseSplitter(), TextCheck()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    return b"".join([pass_on(splitter, tap, piece, text=text) for piece in pieces]), tap


@pytest.mark.parametrize("text", PROMPTS)
def test_stream_is_the_upstreams_own_when_nothing_must_change(text: str) -> None:
    """Names of events included; what is kept folds into the whole answer."""
    call = call_of(text)
    given_bytes, tap = tapped(call, stream_of(call))
    assert given_bytes == stream_of(call)
    whole = anthropic.message(call.body.value)
    assert json.loads(assemble(given_bytes)) == json.loads(assemble(tap.given)) == whole
    assert tap.usage == read_usage(json.dumps(whole).encode())
    assert (tap.done, tap.finished, tap.failed, tap.id) == (True, True, False, whole["id"])
    assert len(tap.given) < len(given_bytes)


@given(text=st.sampled_from(PROMPTS), size=st.integers(1, 400))
def test_stream_is_the_same_when_it_is_cut_anywhere(text: str, size: int) -> None:
    """Bytes may come in any pieces, with another model's name in the first event."""
    call = call_of(text)
    stream = stream_of(call)
    got, tap = tapped(call, stream, public="public", size=size)
    assert got.count(b'"public"') == 1
    first, _, rest = got.partition(b"\n\n")
    assert first.startswith(b"event: message_start\ndata: ")
    assert rest == stream.partition(b"\n\n")[2]
    assert json.loads(assemble(tap.given))["model"] == "public"


def test_prompt_alone_is_counted_when_a_stream_has_not_ended() -> None:
    """The input is known from the first event, cached and written tokens in it; what came since then is measured."""
    call = call_of("words: 9")
    events = stream_of(call, Step(cached=2, written=1)).split(b"\n\n")
    expected = anthropic.count(call.body.value)["input_tokens"]
    for upto, pieces in ((2, 0), (3, 0), (7, 4)):
        _, tap = tapped(call, b"\n\n".join(events[:upto]) + b"\n\n")
        assert tap.usage == Usage(input=expected, cached_input=2, cache_write=1)
        assert (tap.deltas, tap.uncounted, tap.said.pieces) == (pieces, tap.said, pieces)
        assert (tap.said.characters > 0) == (pieces > 0)
        assert not tap.finished


def test_usage_is_the_larger_figure_when_it_is_told_twice() -> None:
    """Some targets know the input only at the end; counts never shrink."""
    tap = MessagesTap(call_of("hi"), model="m", public="m")
    tap.feed(b'{"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":0}}}')
    tap.feed(
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":5}}'
    )
    assert tap.usage == Usage(input=10, cached_input=3, output=5)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 2}, Usage(input=5, output=2)),
        (
            {
                "input_tokens": 5,
                "output_tokens": 9,
                "cache_read_input_tokens": 3,
                "cache_creation_input_tokens": 4,
                "output_tokens_details": {"thinking_tokens": 6},
            },
            Usage(input=12, cached_input=3, cache_write=4, output=9, reasoning=6),
        ),
        ({"input_tokens": 5, "cache_read_input_tokens": None}, Usage(input=5)),
        ({"input_tokens": -1, "output_tokens": 2}, None),
        ({"input_tokens": "5"}, None),
        ({"output_tokens": 2}, None),
        (None, None),
    ],
)
def test_usage_is_read_when_it_can_be_believed(usage: Any, expected: Usage | None) -> None:
    """Our input has in it what Anthropic counts beside it."""
    assert read_usage(json.dumps({"usage": usage}).encode()) == expected
    assert read_usage(json.dumps({"meta": {"u": usage}}).encode(), path=("meta", "u")) == expected


def test_answer_is_no_count_when_it_holds_none() -> None:
    """A target that answers 200 with something else has not counted."""
    assert read_count(b'{"input_tokens":3}') is None
    for wrong in (b"[]", b"{}", b'{"input_tokens":-1}', b"no"):
        with pytest.raises(ValueError):  # noqa: PT011  # any of msgspec's
            read_count(wrong)


def test_error_of_the_upstream_is_ours_when_it_comes_in_the_stream() -> None:
    """Its text stays out, and what follows it does not end the stream as if all were well."""
    call = call_of("hi")
    failed = b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"db-7.internal broke"}}\n\n'
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    got, tap = tapped(call, failed + stop)
    assert (tap.failed, tap.done, tap.finished) == (True, False, False)
    assert got.startswith(b"event: error\ndata: ")
    assert json.loads(got.partition(b"data: ")[2])["error"]["type"] == "api_error"
    assert b"internal" not in got
    assert b"message_stop" not in got


def test_openais_end_is_taken_out_when_a_gateway_adds_it() -> None:
    """It is no event of this dialect."""
    call = call_of("hi")
    stream = stream_of(call)
    got, tap = tapped(call, stream + b"data: [DONE]\n\n")
    assert got == stream
    assert tap.done


@pytest.mark.parametrize(
    "event",
    [
        b"no json",
        b'{"type":"error","error":{}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_start","index":"0","content_block":{}}',
        b'{"type":"some_day"}',
        b"[]",
    ],
)
def test_events_are_kept_when_they_fold_into_nothing(event: bytes) -> None:
    """What is not understood is not made up."""
    with pytest.raises(Unfoldable):
        assemble(b'data: {"type":"message_start","message":{}}\n\ndata: ' + event + b"\n\n")


def test_citations_and_unknown_fields_stay_when_a_stream_is_folded() -> None:
    """Citations become a list, fields that are new stay where they were."""
    events = [
        {
            "type": "message_start",
            "message": {"id": "m", "content": [], "x": 1, "usage": {"input_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "", "y": 2}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "citations_delta", "citation": {"c": 1}},
        },
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 2},
            "z": 3,
        },
    ]
    whole = json.loads(assemble(b"".join(named_event(json.dumps(event).encode()) for event in events)))
    assert whole == {
        "id": "m",
        "content": [{"type": "text", "text": "a", "y": 2, "citations": [{"c": 1}]}],
        "x": 1,
        "usage": {"input_tokens": 1, "output_tokens": 2},
        "stop_reason": "end_turn",
        "z": 3,
    }


def test_end_is_an_event_of_its_own_when_it_is_ours() -> None:
    """Clients drop events without a name."""
    assert MESSAGES.end_event == named_event(b'{"type":"message_stop"}')
    assert named_event(b'{"error":{}}').startswith(b"event: error\n")
    assert named_event(b"broken") == b"data: broken\n\n"
