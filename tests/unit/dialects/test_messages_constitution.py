"""Principles before a messages request, and refusals that clients can tell from answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.catalog import Quirks
from ingot.dialects.dialect import AS_IT_IS, Call, Turn
from ingot.dialects.finishes import REFUSED
from ingot.dialects.messages import MESSAGES
from ingot.sse import BETWEEN

MARK = "[refusal]"
REFUSES = Turn("refusal", MARK)
TEXT = 'Be "honest".\nAlways.'
EPHEMERAL = {"type": "ephemeral"}
PLAIN = {"type": "text", "text": TEXT}
KEPT = {**PLAIN, "cache_control": EPHEMERAL}


def asked(**fields: Any) -> Call:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], **fields}
    return MESSAGES.decode(json.dumps(body, indent=1).encode())


@pytest.mark.parametrize(
    ("fields", "system"),
    [
        ({}, [KEPT]),
        ({"system": "Mine."}, [KEPT, {"type": "text", "text": "Mine."}]),
        ({"system": [{"type": "text", "text": "Mine."}]}, [KEPT, {"type": "text", "text": "Mine."}]),
        ({"cache_control": EPHEMERAL}, [PLAIN]),
        (
            {"tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": EPHEMERAL}]},
            [PLAIN],
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": EPHEMERAL}]}
                ]
            },
            [PLAIN],
        ),
    ],
)
def test_preface_when_request_is_written_in_any_way(fields: Any, system: Any) -> None:
    """The principles are the first text; the breakpoint behind them is left to a client that sets its own."""
    call = asked(**fields)
    sent = MESSAGES.preface(call, TEXT)
    assert sent.body.value == json.loads(sent.body.data)
    assert sent.body.value == {**call.body.value, "system": system}
    assert MESSAGES.prepare(sent, model="m", quirks=Quirks()) is sent.body.data


def whole(text: str, reason: str = "end_turn") -> bytes:
    content = [{"type": "thinking", "thinking": MARK, "signature": ""}, {"type": "text", "text": text}]
    return json.dumps({"id": "msg_1", "content": content, "stop_reason": reason}).encode()


def test_turn_back_when_answer_refuses() -> None:
    """The mark goes and the end says it; a cut stays a cut, and thoughts are no answer."""
    turned = json.loads(MESSAGES.turn_back(whole(f"\n{MARK} Not that."), REFUSES))
    assert turned["content"][1]["text"] == "Not that."
    assert (turned["stop_reason"], turned["stop_details"]) == ("refusal", REFUSED)
    cut = json.loads(MESSAGES.turn_back(whole(f"{MARK} Not", "max_tokens"), REFUSES))
    assert (cut["content"][1]["text"], cut["stop_reason"]) == ("Not", "max_tokens")
    assert "stop_details" not in cut


@pytest.mark.parametrize("answer", [whole("Yes."), whole(f"I say {MARK}"), whole("[refus"), b'{"content":3}'])
def test_turn_back_when_nothing_is_refused(answer: bytes) -> None:
    """The very bytes come back."""
    assert MESSAGES.turn_back(answer, REFUSES) is answer
    assert MESSAGES.turn_back(answer, AS_IT_IS) is answer


def streamed(text: str, cuts: list[int], *, begins: int = 0) -> list[bytes]:
    """A stream of a thought and the text, whose first characters come with the block's start."""
    begun, text = text[:begins], text[begins:]
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[low:high] for low, high in zip([0, *ends], ends, strict=False)]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": MARK}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": begun}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return [json.dumps(event).encode() for event in events]


def followed(events: list[bytes]) -> tuple[str, str, list[dict[str, Any]]]:
    """The text, the end, and all events that a client gets."""
    tap = MESSAGES.tap(asked(stream=True), model="m", public="m", turn=REFUSES)
    told = [
        json.loads(each) for data in map(tap.feed, events) if data is not None for each in data.split(BETWEEN)
    ]
    assert (tap.done, tap.finished) == (True, True)
    assert tap.usage is not None
    assert tap.usage.output == 2
    assert tap.given.count(b"event: ") == tap.given.count(b"data: ")
    text = "".join(
        each["content_block"].get("text", "")
        if each["type"] == "content_block_start"
        else each["delta"].get("text", "")
        for each in told
        if each["type"] in {"content_block_start", "content_block_delta"}
    )
    [end] = [each["delta"]["stop_reason"] for each in told if each["type"] == "message_delta"]
    return text, end, told


CUTS = st.lists(st.integers(1, 40), max_size=8)
BEGINS = st.integers(0, 12)


@given(st.sampled_from(["", " ", "\n"]), st.sampled_from(["", " ", "\n"]), CUTS, BEGINS)
def test_feed_when_stream_refuses(before: str, between: str, cuts: list[int], begins: int) -> None:
    """However the text is cut, the mark never shows in it, and the end says that the model refused."""
    text, end, told = followed(streamed(f"{before}{MARK}{between}No, since [x].", cuts, begins=begins))
    assert (text, end) == ("No, since [x].", "refusal")
    assert [each["type"] for each in told].count("content_block_stop") == 2


@given(st.sampled_from(["Yes.", "[ref. 3] says", "[", " [refusal", "", f"Not {MARK}"]), CUTS, BEGINS)
def test_feed_when_stream_answers(said: str, cuts: list[int], begins: int) -> None:
    """An answer comes whole and in order, also one that begins like the mark."""
    text, end, told = followed(streamed(said, cuts, begins=begins))
    assert (text, end) == (said, "end_turn")
    kinds = [each["type"] for each in told if each["type"] != "ping"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@given(
    st.lists(st.sampled_from([b"not json", b"[1]", b"{}", b'{"type":3}', b'{"type":"content_block_start"}']))
)
def test_feed_when_events_have_any_shape(events: list[bytes]) -> None:
    """What is shaped like none passes."""
    tap = MESSAGES.tap(asked(stream=True), model="m", public="m", turn=REFUSES)
    assert [tap.feed(data) for data in events] == events
