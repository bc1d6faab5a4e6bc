"""Rules on responses, kept by their streams: what the events spell out is what the rules make of the whole response."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.responses import RESPONSES
from ingot.dialects.responses_fold import assembled
from ingot.presets import Preset, dressed
from ingot.sse import encode_event
from ruled import written

Json = dict[str, Any]

TOKENS: list[Json] = [{"token": "Hello", "logprob": -0.1}]
CITED: Json = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 5}
TEXT: Json = {"type": "output_text", "text": "Hello", "annotations": [CITED], "logprobs": TOKENS}
SUMMED: Json = {"type": "summary_text", "text": "Hm."}
THOUGHT: Json = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [SUMMED],
    "encrypted_content": "e",
    "status": "completed",
}
SAID: Json = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
CALLED: Json = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "c",
    "name": "f",
    "arguments": "{}",
    "status": "completed",
}
BEGUN: Json = {
    "id": "resp_1",
    "object": "response",
    "model": "m",
    "status": "in_progress",
    "output": [],
    "service_tier": "flex",
}
WHOLE: Json = {
    **BEGUN,
    "status": "completed",
    "output": [THOUGHT, SAID, CALLED],
    "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12},
}


def told(kind: str, index: int | None = None, **fields: Any) -> Json:
    """An event, about an item where it has a place."""
    place = {} if index is None else {"output_index": index, "item_id": WHOLE["output"][index]["id"]}
    return {"type": f"response.{kind}", **place, **fields}


EVENTS: list[Json] = [
    told("created", response=BEGUN),
    told("output_item.added", 0, item={**THOUGHT, "summary": [], "status": "in_progress"}),
    told("reasoning_summary_part.added", 0, summary_index=0, part={**SUMMED, "text": ""}),
    told("reasoning_summary_text.delta", 0, summary_index=0, delta="Hm."),
    told("reasoning_summary_text.done", 0, summary_index=0, text="Hm."),
    told("reasoning_summary_part.done", 0, summary_index=0, part=SUMMED),
    told("output_item.done", 0, item=THOUGHT),
    told("output_item.added", 1, item={**SAID, "content": [], "status": "in_progress"}),
    told(
        "content_part.added", 1, content_index=0, part={**TEXT, "text": "", "annotations": [], "logprobs": []}
    ),
    told("output_text.delta", 1, content_index=0, delta="Hel", logprobs=TOKENS),
    told("output_text.delta", 1, content_index=0, delta="lo", logprobs=[]),
    told("output_text.annotation.added", 1, content_index=0, annotation_index=0, annotation=CITED),
    told("output_text.done", 1, content_index=0, text="Hello", logprobs=TOKENS),
    told("content_part.done", 1, content_index=0, part=TEXT),
    told("output_item.done", 1, item=SAID),
    told("output_item.added", 2, item={**CALLED, "arguments": "", "status": "in_progress"}),
    told("function_call_arguments.delta", 2, delta="{}"),
    told("function_call_arguments.done", 2, arguments="{}", name="f"),
    told("output_item.done", 2, item=CALLED),
    told("completed", response=WHOLE),
]
RAW = [json.dumps({**event, "sequence_number": number}).encode() for number, event in enumerate(EVENTS)]


def preset(rules: str) -> Preset:
    """A preset with these rules on responses."""
    return written(f"[answers.responses]\n{rules}")


def streamed(rules: str) -> list[bytes]:
    """The data of the events that a client gets under these rules; the same are kept for the store, in fewer events."""
    dialect = dressed(RESPONSES, preset(rules))
    call = dialect.decode(b'{"model": "m", "input": "x", "stream": true}')
    tap = dialect.tap(call, model="m", public="m")
    given_ = [kept for data in RAW if (kept := tap.feed(data)) is not None]
    assert (tap.done, tap.usage is not None and tap.usage.output) == (True, 9)
    stored, spelled = assembled(tap.given), folded(given_)
    assert (stored.response(), stored.output()) == (spelled.response(), spelled.output())
    return given_


def folded(events: list[bytes]) -> Any:
    """What the events spell out."""
    return assembled(b"".join(encode_event(data) for data in events))


RULES = (
    'id = { prefix = "ours_" }',
    'service_tier = "drop"',
    'note = "present"',
    '"usage.total_tokens" = "drop"',
    '"usage.prompt_tokens" = { copy = "input_tokens" }',
    'output = "drop"',
    '"output.status" = "drop"',
    '"output.status" = { told = { completed = "done" } }',
    '"output.encrypted_content" = "null"',
    '"output.note" = "present"',
    '"output.name" = { prefix = "f_" }',
    '"output.arguments" = "drop"',
    '"output.content" = "drop"',
    '"output.summary" = "drop"',
    '"output.summary.text" = "drop"',
    '"output.content.logprobs" = "drop"',
    '"output.content.logprobs" = "null"',
    '"output.content.annotations" = "drop"',
    '"output.content.annotations.title" = "drop"',
    '"output.content.text" = "drop"',
    '"output.content.note" = "present"',
)


@given(st.sets(st.sampled_from(RULES), max_size=6))
def test_stream_spells_what_the_rules_make_of_the_whole(chosen: set[str]) -> None:
    """At its end, and before it in its items; numbers are without a gap, whatever was left out."""
    rules = "\n".join({rule.partition(" = ")[0]: rule for rule in chosen}.values())
    ruled = preset(rules).answers.get("responses")
    bare = json.dumps(WHOLE).encode()
    expected = json.loads(bare if ruled is None else ruled.whole(bare))
    given_ = streamed(rules)
    assert folded(given_).response() == expected
    assert folded(given_[:-1]).output() == expected.get("output", [])
    assert [json.loads(data)["sequence_number"] for data in given_] == list(range(len(given_)))


def test_events_keep_their_bytes_when_no_rule_names_them() -> None:
    """Only the events that a rule changes are written anew."""
    given_ = streamed('"output.content.logprobs" = "drop"')
    changed = [json.loads(data)["type"] for data in RAW if data not in given_]
    assert [kind.removeprefix("response.") for kind in changed] == [
        "content_part.added", "output_text.delta", "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert streamed('"usage.total_tokens" = "drop"')[:-1] == RAW[:-1]


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        ('"output.content.text" = "drop"', ["output_text.delta", "output_text.delta", "output_text.done"]),
        ('"output.content.annotations" = "drop"', ["output_text.annotation.added"]),
        ('"output.arguments" = "null"', ["function_call_arguments.delta", "function_call_arguments.done"]),
        (
            '"output.summary" = "drop"',
            [
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
            ],
        ),
    ],
)
def test_pieces_are_gone_when_their_field_is_taken_out(rule: str, gone: list[str]) -> None:
    """And all others stay."""
    left = [json.loads(data)["type"] for data in streamed(rule)]
    every = [event["type"] for event in EVENTS]
    for kind in gone:
        every.remove(f"response.{kind}")
    assert left == every


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b"[1]",
        b'{"type":3,"output_index":0}',
        b'{"type":"response.output_item.done","output_index":0,"item":3}',
        b'{"type":"response.odd.delta","output_index":0,"delta":"x"}',
        b'{"type":"response.created","response":3}',
        b"{}",
    ],
)
def test_events_pass_when_they_are_shaped_like_none(data: bytes) -> None:
    """The client sees what the target wrote."""
    rules = preset('"output.status" = "drop"\n"output.content.text" = "drop"').answers["responses"]
    assert rules.follow().feed(data) == data
    assert rules.follow().end() is None
