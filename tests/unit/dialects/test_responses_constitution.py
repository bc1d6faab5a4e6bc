"""Principles before a responses request, and refusals that clients can tell from answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.dialect import AS_IT_IS, Call, Turn
from ingot.dialects.responses import RESPONSES
from ingot.sse import BETWEEN

MARK = "[refusal]"
REFUSES = Turn("refusal", MARK)


def asked(**fields: Any) -> Call:
    return RESPONSES.decode(json.dumps({"model": "m", "input": "x", **fields}).encode())


@pytest.mark.parametrize(
    ("fields", "instructions"),
    [({}, "Be."), ({"instructions": None}, "Be."), ({"instructions": "Mine."}, "Be.\n\nMine.")],
)
def test_preface_when_client_instructs_or_not(fields: Any, instructions: str) -> None:
    """The principles stand before the instructions, all else as it was."""
    call = asked(**fields)
    sent = RESPONSES.preface(call, "Be.")
    assert sent.body.value == json.loads(sent.body.data) == {**call.body.value, "instructions": instructions}


def item(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "content": list(parts)}


def said(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def whole(text: str) -> bytes:
    thought = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": MARK}]}
    return json.dumps({"id": "r", "output": [thought, item(said(text), said("More."))]}).encode()


def test_turn_back_when_answer_refuses() -> None:
    """Its first text is a refusal without the mark; what else is there stays."""
    turned = json.loads(RESPONSES.turn_back(whole(f"\n{MARK} Not that."), REFUSES))
    assert turned["output"][1]["content"] == [{"type": "refusal", "refusal": "Not that."}, said("More.")]


@pytest.mark.parametrize(
    "answer", [whole("Yes."), whole(f"I say {MARK}"), b'{"output":3}', b'{"output":[{}]}']
)
def test_turn_back_when_nothing_is_refused(answer: bytes) -> None:
    """The very bytes come back."""
    assert RESPONSES.turn_back(answer, REFUSES) is answer
    assert RESPONSES.turn_back(answer, AS_IT_IS) is answer


def streamed(text: str, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[low:high] for low, high in zip([0, *ends], ends, strict=False)]
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "r", "model": "m", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item()},
        {"type": "response.content_part.added", **at, "part": said("")},
        *({"type": "response.output_text.delta", **at, "delta": piece} for piece in pieces),
        {"type": "response.output_text.done", **at, "text": text},
        {"type": "response.content_part.done", **at, "part": said(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": item(said(text))},
        {"type": "response.completed", "response": {"id": "r", "model": "m", "output": [item(said(text))]}},
    ]
    return [json.dumps({**event, "sequence_number": number}).encode() for number, event in enumerate(events)]


def followed(events: list[bytes]) -> list[dict[str, Any]]:
    """All events that a client gets; they are numbered without a gap."""
    tap = RESPONSES.tap(asked(stream=True), model="m", public="m", turn=REFUSES)
    told = [
        json.loads(each) for data in map(tap.feed, events) if data is not None for each in data.split(BETWEEN)
    ]
    assert (tap.done, tap.failed) == (True, False)
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    return told


def grown(events: list[dict[str, Any]], kind: str) -> str:
    return "".join(each["delta"] for each in events if each["type"] == f"response.{kind}.delta")


CUTS = st.lists(st.integers(1, 40), max_size=8)


@given(st.sampled_from(["", " ", "\n"]), st.sampled_from(["", " ", "\n"]), CUTS)
def test_feed_when_stream_refuses(before: str, between: str, cuts: list[int]) -> None:
    """However the text is cut, the mark never shows, and each event tells the refusal."""
    told = followed(streamed(f"{before}{MARK}{between}No, since [x].", cuts))
    assert grown(told, "refusal") == "No, since [x]."
    assert grown(told, "output_text") == ""
    assert MARK not in json.dumps(told)
    part = {"type": "refusal", "refusal": "No, since [x]."}
    by_kind = {each["type"]: each for each in told}
    assert by_kind["response.content_part.added"]["part"] == {"type": "refusal", "refusal": ""}
    assert by_kind["response.refusal.done"]["refusal"] == part["refusal"]
    assert by_kind["response.content_part.done"]["part"] == part
    assert by_kind["response.output_item.done"]["item"]["content"] == [part]
    assert by_kind["response.completed"]["response"]["output"] == [item(part)]


@given(st.sampled_from(["Yes.", "[ref. 3] says", "[", " [refusal", "", f"Not {MARK}"]), CUTS)
def test_feed_when_stream_answers(text: str, cuts: list[int]) -> None:
    """An answer comes whole and in order, also one that begins like the mark."""
    events = streamed(text, cuts)
    assert followed(events) == [json.loads(event) for event in events]


@given(st.lists(st.sampled_from([b"not json", b"[1]", b"{}", b'{"type":"response.content_part.added"}'])))
def test_feed_when_events_have_any_shape(events: list[bytes]) -> None:
    """What is shaped like none passes."""
    tap = RESPONSES.tap(asked(stream=True), model="m", public="m", turn=REFUSES)
    assert [tap.feed(data) for data in events] == events
