"""Folding a stream: the whole answer is the one that the pieces spelled, or the stream is refused as a whole."""

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.dialects.chat import CHAT
from ingot.dialects.cuts import TextCheck
from ingot.dialects.fold import Assembly, Unfoldable, assemble
from ingot.services.relay import pass_on
from ingot.sse import SseSplitter
from storylines import IDS, USAGE, Story, stories, streams
from upstream_answers import chat, chat_chunks
from upstream_script import Step

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "150"))


def chunk(delta: Any = None, *, index: int = 0, reason: str | None = None, **more: Any) -> bytes:
    """A chunk as most servers write it."""
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": reason}
    data = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }
    return json.dumps(data, separators=(",", ":")).encode()


def fold(*chunks: bytes) -> Any:
    """The answer of these chunks, decoded."""
    assembly = Assembly()
    for each in chunks:
        assembly.feed(each)
    return json.loads(assembly.answer())


def message(*chunks: bytes) -> Any:
    """The message of the first choice."""
    return fold(*chunks)["choices"][0]["message"]


def expected(story: Story) -> dict[str, Any]:
    """The texts and calls of a choice."""
    calls = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(story.calls)
    ]
    said = {
        "role": "assistant",
        "content": story.content,
        "reasoning_content": story.reasoning,
        "refusal": story.refusal,
        "tool_calls": calls,
    }
    return {name: value for name, value in said.items() if value or name in {"role", "content"}}


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), told=st.lists(stories, min_size=1, max_size=3).map(tuple))
def test_fold_when_the_stream_is_cut_anywhere(data: st.DataObject, told: tuple[Story, ...]) -> None:
    """Texts, calls, ends, counts and unknown fields are those of the answer, however it was cut."""
    whole = json.loads(assemble(data.draw(streams(told))))
    assert {name: whole[name] for name in IDS} == IDS
    assert (whole["object"], whole["usage"], whole["timings"]) == ("chat.completion", USAGE, {"ms": 1.5})
    assert "obfuscation" not in whole
    assert [choice["message"] for choice in whole["choices"]] == [expected(story) for story in told]
    assert [choice["finish_reason"] for choice in whole["choices"]] == [story.finish for story in told]
    assert {choice["stop_reason"] for choice in whole["choices"]} == {7}


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), told=st.lists(stories, min_size=1, max_size=3).map(tuple))
def test_i10_what_is_kept_of_a_stream_tells_the_same_answer(
    data: st.DataObject, told: tuple[Story, ...]
) -> None:
    """T-I-sse: what a tap keeps of a stream, in fewer events, folds to the very answer that the stream folds to."""
    stream = data.draw(streams(told))
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": len(told), "stream": True}
    call = CHAT.decode(json.dumps({**body, "stream_options": {"include_usage": True}}).encode())
    tap = CHAT.tap(call, model="m", public="m")
    text = TextCheck()
    passed = b"".join(pass_on(SseSplitter(), tap, event, text=text) for event in SseSplitter().feed(stream))
    assert passed == stream
    assert tap.given.count(b"data: ") <= stream.count(b"data: ")
    assert assemble(tap.given) == assemble(stream)


@pytest.mark.parametrize(
    "prompt",
    ["words: 40", "think: of it", "refuse: no", "echo: é 😀", 'call f with {"x": "é"} and call f with {}'],
)
@pytest.mark.parametrize("n", [1, 3])
def test_fold_equals_the_plain_answer_when_the_upstream_is_asked_for_both(prompt: str, n: int) -> None:
    """What an upstream streams is what it answers without a stream."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": prompt}],
        "n": n,
        "logprobs": True,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "stream_options": {"include_usage": True},
    }
    plain = chat(body)
    whole = fold(*[json.dumps(each).encode() for each in chat_chunks(body)])
    for choice in plain["choices"]:
        del choice["message"]["annotations"]  # of these a stream says nothing
        text = "".join(each["token"] for each in (choice["logprobs"] or {}).get("content", ()))
        choice["logprobs"] = choice["logprobs"] if text else None
        choice["message"]["content"] = choice["message"]["content"] or (None if "call" in prompt else "")
    assert whole == plain


@pytest.mark.parametrize("usage", ["running", "with-finish", "twice", "missing", "null"])
def test_usage_is_the_last_that_was_told(usage: Any) -> None:
    """Wherever an upstream puts its counts; without any there are none."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "words: 3"}],
        "stream_options": {"include_usage": True},
    }
    chunks = chat_chunks(body, step=Step(usage=usage))
    told = [each["usage"] for each in chunks if each.get("usage")]
    assert fold(*[json.dumps(each).encode() for each in chunks]).get("usage") == (told[-1] if told else None)


def test_head_is_that_of_the_first_full_chunk_when_an_empty_one_comes_before() -> None:
    """Some servers begin with a chunk that has no id, no model and no choices."""
    first = b'{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[1]}'
    whole = fold(first, chunk({"role": "assistant", "content": "a"}), chunk(reason="stop"))
    assert (whole["id"], whole["created"], whole["model"]) == ("c", 1, "m")
    assert whole["prompt_filter_results"] == [1]


def test_tool_calls_are_told_apart_when_they_have_no_index() -> None:
    """A new id begins a new call; without one the last call goes on."""
    parts = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}},
        {"function": {"arguments": ":1}"}},
        {
            "id": "b",
            "type": "function",
            "function": {"name": "g", "arguments": "{}"},
            "extra_content": {"k": "v"},
        },
    ]
    told = message(*[chunk({"tool_calls": [part]}) for part in parts])
    assert [(call["id"], call["function"]) for call in told["tool_calls"]] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]
    assert told["tool_calls"][1]["extra_content"] == {"k": "v"}


def test_unknown_fields_are_merged_by_their_shape() -> None:
    """Texts and lists grow, objects grow by their texts, of other values the last counts; null is kept as such."""
    told = message(
        chunk({"note": "a", "list": [1], "audio": {"id": "x", "data": "A"}, "rank": 1, "none": None}),
        chunk({"note": "b", "list": [2], "audio": {"id": "x", "data": "B"}, "rank": 2}),
        chunk({"function_call": {"name": "f", "arguments": "{"}}),
        chunk({"function_call": {"arguments": "}"}}),
    )
    assert told == {
        "role": "assistant",
        "content": None,
        "note": "ab",
        "list": [1, 2],
        "audio": {"id": "x", "data": "AB"},
        "rank": 2,
        "none": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }


def test_half_a_character_becomes_the_replacement_when_its_other_half_never_comes() -> None:
    """The answer is still valid JSON, with U+FFFD for what is missing."""
    assert message(chunk({"content": "a\ud83d"}), chunk({"content": "b"}))["content"] == "a\ufffdb"
    assert message(b'{"choices":[{"delta":{"content":"a\xf0\x9f"}}]}')["content"] == "a\ufffd"


def test_text_completions_are_folded() -> None:
    """The older kind has texts and no messages; its log probabilities are parallel lists."""
    parts = [
        {
            "index": 0,
            "text": text,
            "logprobs": {"tokens": [text], "text_offset": [at]},
            "finish_reason": reason,
        }
        for at, text, reason in ((0, "on", None), (2, "ce", None), (4, "", "stop"))
    ]
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    whole = fold(*[json.dumps({**base, "choices": [part]}).encode() for part in parts])
    assert whole == {
        **base,
        "choices": [
            {
                "text": "once",
                "index": 0,
                "logprobs": {"tokens": ["on", "ce", ""], "text_offset": [0, 2, 4]},
                "finish_reason": "stop",
            }
        ],
    }


def test_end_is_known_when_it_came() -> None:
    """`done` tells a complete stream from one that was cut; a last blank line may be missing."""
    assembly = Assembly()
    ends = []
    for data in (chunk({"content": "a"}), b"[DONE]"):
        assembly.feed(data)
        ends.append(assembly.done)
    assert ends == [False, True]
    assert b'"content":"ab"' in assemble(
        b"data: " + chunk({"content": "a"}) + b"\n\ndata: " + chunk({"content": "b"})
    )


@pytest.mark.parametrize(
    "event",
    [
        b"no json",
        b"[1]",
        b'{"error":{"message":"no"}}',
        b'{"object":"error"}',
        b'{"choices":{"a":1}}',
        b'{"choices":[1]}',
        b'{"choices":[{"index":"x","delta":{}}]}',
        b'{"choices":[{"delta":[1]}]}',
        b'{"choices":[{"delta":{"content":[1]}}]}',
        b'{"choices":[{"delta":{"content":{"a":1}}}]}',
        b'{"choices":[{"delta":{"tool_calls":{"a":1}}}]}',
        b'{"choices":[{"delta":{"tool_calls":[1]}}]}',
        b'{"choices":[{"delta":{},"logprobs":[1]}]}',
        b'{"choices":[{"text":1}]}',
        b'{"choices":[{"index":0,"text":"a"}]}',
        b'{"choices":[{"delta":{},"message":{"content":"a"}}]}',
        b'{"id":"\\ud83d","choices":[{"delta":{},"x":"\\ud83d"}]}',
        b"[" * 5000,
    ],
)
def test_stream_is_refused_as_a_whole_when_one_event_is_odd(event: bytes) -> None:
    """Better no fold than one that says something else; what comes later changes nothing."""
    with pytest.raises(Unfoldable):
        fold(chunk({"content": "a"}), event, chunk({"content": "b"}), b"[DONE]")


def test_stream_is_refused_when_it_holds_no_chunk() -> None:
    """Nothing is not an answer."""
    for events in (b"", b": ping\n\n", b"data: [DONE]\n\n", b'data: {"choices":[]}\n\n'):
        with pytest.raises(Unfoldable):
            assemble(events)


def test_text_is_refused_when_a_quick_piece_was_no_json() -> None:
    """A piece that was taken unread is read at the end."""
    good = chunk({"content": "aaa"})
    with pytest.raises(Unfoldable):
        fold(good, good.replace(b"aaa", b"a\\qa"))


def test_pieces_are_kept_when_they_end_in_backslashes_or_hold_quotes() -> None:
    """The quick way looks at bytes only, and must not be fooled by what stands before the closing quote."""
    pieces = ["x", "\\", '"', '\\"', '\\\\"', "\\\\", '"}', "\n", '","content":"', "é", "😀"]
    assert message(*[chunk({"content": piece}) for piece in pieces])["content"] == "".join(pieces)
