"""Rules on answers: each verb, on whole answers and in streams, and the rows of the four systems that they keep."""

import json
from typing import Any

import pytest

from ingot.dialects.chat import CHAT
from ingot.dialects.fold import assemble
from ingot.presets import dressed, load
from ruled import shown, streamed, written

ANSWER: dict[str, Any] = {
    "id": "gen-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi"},
            "logprobs": {"content": [], "refusal": None},
            "finish_reason": "length",
            "stop_reason": 7,
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "service_tier": "default",
    "system_fingerprint": "fp",
    "timings": {"ms": 1.5},
}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of one choice."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }


def whole(rules: str, answer: bytes) -> bytes:
    """An answer as these rules leave it."""
    return written(f"[answers.chat]\n{rules}").answers["chat"].whole(answer)


@pytest.mark.parametrize(
    ("rules", "answer", "seen"),
    [
        ('a = "drop"', '{"a":1,"b":2}', '{"b":2}'),
        ('a = "null"', '{"a":1}', '{"a":null}'),
        ('a = "null"', '{"b":1}', '{"b":1,"a":null}'),
        ('a = "present"', '{"a":1}', '{"a":1}'),
        ('a = "present"', '{"b":1}', '{"b":1,"a":null}'),
        ("a = { default = { x = 0 } }", '{"a":null}', '{"a":{"x":0}}'),
        ("a = { default = 5 }", '{"a":1}', '{"a":1}'),
        ('a = { rename = "b" }', '{"a":[1]}', '{"b":[1]}'),
        ('a = { rename = "b" }', '{"a":1,"b":2}', '{"b":2}'),
        ('a = { rename = "b" }', '{"b":2,"a":1}', '{"b":2}'),
        ('a = { prefix = "cmpl_" }', '{"a":"chatcmpl-7"}', '{"a":"cmpl_7"}'),
        ('a = { prefix = "cmpl_" }', '{"a":"cmpl_7"}', '{"a":"cmpl_7"}'),
        ('a = { prefix = "cmpl_" }', '{"a":"7"}', '{"a":"cmpl_7"}'),
        ('a = { prefix = "cmpl_" }', '{"a":"7-"}', '{"a":"cmpl_7-"}'),
        ('a = { prefix = "cmpl_" }', '{"a":7}', '{"a":7}'),
        ('a = { told = { x = "y" } }', '{"a":"x"}', '{"a":"y"}'),
        ('a = { told = { x = "y" } }', '{"a":"z"}', '{"a":"z"}'),
        ('a = { told = { x = "y" } }', '{"a":null}', '{"a":null}'),
        ('b = { copy = "a" }', '{"a":1}', '{"a":1,"b":1}'),
        ('b = { copy = "a" }', '{"b":2,"a":1}', '{"b":1,"a":1}'),
        ('b = { copy = "a" }', '{"b":2,"a":null}', '{"b":2,"a":null}'),
        ('"x.b" = { copy = "a" }\n"x.a" = { default = 0 }', '{"x":{}}', '{"x":{"a":0,"b":0}}'),
        ('"*" = "drop"\na = "accept"', '{"a":1,"b":2}', '{"a":1}'),
        ('"a.b" = "drop"', '{"a":{"b":1,"c":2}}', '{"a":{"c":2}}'),
        ('"a.b" = "drop"', '{"a":[{"b":1},{"c":2}]}', '{"a":[{},{"c":2}]}'),
        ('"a.b" = "present"', '{"a":null,"c":[]}', '{"a":null,"c":[]}'),
        ('"a.*" = "drop"\n"a.b" = "accept"', '{"a":{"b":1,"c":2},"d":3}', '{"a":{"b":1},"d":3}'),
    ],
)
def test_field_of_an_answer_is_as_its_rule_says(rules: str, answer: str, seen: str) -> None:
    """Each verb, at the top and below; the order of fields stays."""
    assert whole(rules, answer.encode()) == seen.encode()


@pytest.mark.parametrize(
    "answer", [b' { "a" : 1.00, "b":"\\u0041"}\n', b"[1]", b'{"a":', b'"x"', b'{"c":[1,{}]}']
)
def test_bytes_are_the_targets_when_no_rule_applies(answer: bytes) -> None:
    """Spaces, numbers and escapes too; what is no answer at all passes as it came."""
    assert whole('x = "drop"\n"c.d" = "drop"', answer) == answer


def test_values_keep_their_bytes_when_others_change() -> None:
    """A number keeps its digits and a text its escapes."""
    assert whole('x = "drop"', b'{"x":1,"n":1.00,"s":"\\u0041","o":{"k": 1e2}}') == (
        b'{"n":1.00,"s":"\\u0041","o":{"k": 1e2}}'
    )


def test_open_has_no_rules_on_answers() -> None:
    """So that the hot path pays nothing for them."""
    assert load("open").answers == {}
    assert dressed(CHAT, load("open")).reshape is None


# ---- streams


def test_stream_is_fast_and_right_when_chunks_are_ruled_over() -> None:
    """Chunks in one frame, a new one, texts with quotes: every one is as the rules say."""
    texts = ["Hi", " there", ' "quoted"', "\n", "end"]
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": text}, service_tier="default", system_fingerprint="fp") for text in texts]
    seen, tap = streamed("valar", [*chunks, chunk({}, "length")])
    assert [each["choices"][0]["delta"].get("content") for each in seen[1:-1]] == texts
    assert all(not {"service_tier", "system_fingerprint"} & each.keys() for each in seen)
    assert seen[-1]["choices"][0]["finish_reason"] == "stop"
    assert json.loads(assemble(tap.given))["choices"][0]["message"]["content"] == "".join(texts)


def test_frame_is_not_learned_when_a_chunk_has_two_texts() -> None:
    """What is taken out of one chunk must not come back as the text of the next."""
    deltas = [{"reasoning_content": "a", "content": "x"}, {"reasoning_content": "b", "content": "x"}]
    seen, _ = streamed("valley", [chunk(delta) for delta in deltas])
    assert [each["choices"][0]["delta"] for each in seen] == [{"content": "x"}, {"content": "x"}]


def test_id_is_known_as_the_client_sees_it() -> None:
    """Stored answers are looked for under the id that was given out."""
    seen, tap = streamed("aurora-v2", [chunk({"content": "Hi"}), chunk({}, "stop")])
    assert {each["id"] for each in seen} == {"cmpl_1"}
    assert tap.id == "cmpl_1"


def pieces(*told: dict[str, Any]) -> dict[str, Any]:
    """A delta with pieces of tool calls."""
    return {"tool_calls": list(told)}


def test_s4_71_each_tool_call_comes_in_one_chunk() -> None:
    """Whole, with its name and all of its arguments, before the chunk with the finish reason; and it is stored so."""
    one = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    two = {"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "c", "input": ""}}
    chunks = [
        chunk({"role": "assistant", "content": None, **pieces(one)}),
        chunk(pieces({"index": 0, "function": {"arguments": '{"a"'}})),
        chunk(pieces({"index": 0, "function": {"name": "f", "arguments": ":1}"}}, two)),
        chunk(pieces({"index": 1, "custom": {"input": "x"}})),
        chunk({}, "tool_calls"),
    ]
    seen, tap = streamed("valar", chunks)
    assert [each["choices"][0]["finish_reason"] for each in seen] == [None, None, "tool_calls"]
    assert seen[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert seen[1]["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "c", "input": "x"}},
    ]
    assert seen[2]["choices"][0]["delta"] == {}
    assert len(json.loads(assemble(tap.given))["choices"][0]["message"]["tool_calls"]) == 2


def test_pieces_of_calls_stay_when_they_are_only_accepted() -> None:
    """Where no rule gathers them they come as the target sends them, also beside a rule that takes out what is unknown."""
    deltas = [
        pieces({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
        pieces({"index": 0, "function": {"arguments": "{}"}}),
    ]
    seen, _ = streamed("valley", [*map(chunk, deltas), chunk({}, "tool_calls")])
    assert [each["choices"][0]["delta"] for each in seen] == [*deltas, {}]


@pytest.mark.parametrize("finish", ["tool_calls", None])
def test_tool_calls_are_whole_when_pieces_have_no_index_and_the_end_is_sudden(finish: str | None) -> None:
    """A new id begins a new call; what was held back comes before the end at the latest."""
    first = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    last = chunk(pieces({"id": "b", "function": {"name": "g", "arguments": "[]"}}), finish)
    seen, _ = streamed("valar", [chunk(pieces(first)), last])
    calls = [call for each in seen for call in each["choices"][0]["delta"].get("tool_calls", ())]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("a", "{}"), ("b", "[]")]


def test_text_goes_on_when_it_comes_beside_pieces_of_a_call() -> None:
    """Only the pieces are held back."""
    beside = {"content": "Let me see.", **pieces({"index": 0, "id": "a", "function": {"name": "f"}})}
    seen, _ = streamed("valar", [chunk(beside), chunk({}, "tool_calls")])
    assert seen[0]["choices"][0]["delta"] == {"content": "Let me see."}
    assert seen[1]["choices"][0]["delta"]["tool_calls"][0]["id"] == "a"


# ---- rows


def test_s0_16_answers_have_no_foreign_keys() -> None:
    """What targets add to OpenAI's answers is not told."""
    answer = {**ANSWER, "choices": [{**ANSWER["choices"][0]}]}
    answer["choices"][0]["message"] = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"}
    seen = shown("valley", answer)
    assert "timings" not in seen
    assert set(seen["choices"][0]) == {"index", "message", "logprobs", "finish_reason"}
    assert set(seen["choices"][0]["message"]) == {"role", "content"}
    assert seen["service_tier"] == "default"


@pytest.mark.parametrize(
    ("preset", "id"), [("aurora", "cmpl_1"), ("metask", "chatcmpl-1"), ("valley", "chatcmpl-1")]
)
def test_s1_18_s2_11_ids_begin_as_the_preset_says(preset: str, id: str) -> None:  # noqa: A002  # the field's name
    """Whatever the target calls its answer."""
    assert shown(preset, ANSWER)["id"] == id


def test_s3_23_fields_of_the_message_are_there() -> None:
    """Content, reasoning_content and refusal, null where the model said none; `reasoning` is known by the longer name."""
    assert shown("valar", ANSWER)["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": None,
        "refusal": None,
    }
    choice = {**ANSWER["choices"][0], "message": {"role": "assistant", "content": "Hi", "reasoning": "Hm"}}
    assert (
        shown("valar", {**ANSWER, "choices": [choice]})["choices"][0]["message"]["reasoning_content"] == "Hm"
    )


def test_s3_24_s4_104_logprobs_are_null() -> None:
    """Also where a target gives them unasked."""
    assert shown("valar", ANSWER)["choices"][0]["logprobs"] is None


def test_s3_25_usage_has_its_details() -> None:
    """Both objects are there, with the target's figures where it has any."""
    usage = shown("valar", ANSWER)["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 0}
    told = {**ANSWER, "usage": {**ANSWER["usage"], "prompt_tokens_details": {"cached_tokens": 1}}}
    assert shown("valar", told)["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}


def test_s4_70_reasoning_is_streamed_under_its_name() -> None:
    """Before the content."""
    seen, _ = streamed(
        "valar", [chunk({"reasoning": "Hm"}), chunk({"reasoning": "m."}), chunk({"content": "Hi"})]
    )
    assert [each["choices"][0]["delta"] for each in seen] == [
        {"reasoning_content": "Hm"},
        {"reasoning_content": "m."},
        {"content": "Hi"},
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [("stop", "stop"), ("length", "stop"), ("content_filter", "stop"), ("tool_calls", "tool_calls"), ("function_call", "tool_calls")],
)  # fmt: skip
def test_s4_101_finish_reason_is_stop_or_tool_calls(given: str, told: str) -> None:
    """A cut answer says stop."""
    answer = {**ANSWER, "choices": [{**ANSWER["choices"][0], "finish_reason": given}]}
    assert shown("valar", answer)["choices"][0]["finish_reason"] == told


def test_s4_102_s4_103_two_keys_are_absent() -> None:
    """No system_fingerprint, no service_tier."""
    assert not {"system_fingerprint", "service_tier"} & shown("valar", ANSWER).keys()
