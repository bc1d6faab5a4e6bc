"""Answers for chat clients from any dialect, and what odd chat servers answer."""

import json
from typing import Any

import pytest
from msgspec import Raw

from ingot.canonical import (
    Answer,
    AnyPart,
    Citation,
    Extras,
    Failure,
    Image,
    NativePart,
    Origin,
    Output,
    Reasoning,
    Refusal,
    Request,
    Seal,
    Text,
    ToolCall,
    Turn,
    Usage,
)
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.rawjson import Body

FAR = Origin("messages", "elsewhere")
NEAR = Origin("chat", "target")
ASKED = Request(origin="chat", model="public", turns=(Turn("user", (Text("x"),)),))
REPLY = Reply("chatcmpl-9", "public", 1_790_000_000, ASKED, Body(b"{}", {}))


def answer(*parts: AnyPart, origin: Origin = FAR, **more: Any) -> Answer:
    """An answer of one alternative."""
    return Answer(
        origin=origin, id="msg_1", model="far", outputs=(Output(parts=parts, finish="stop"),), **more
    )


def encode(*parts: AnyPart, **more: Any) -> tuple[Any, list[tuple[str, str]]]:
    """The message that a client gets, and the losses as pairs."""
    data, losses = CHAT_CODEC.encode_answer(answer(*parts, **more), REPLY)
    return json.loads(data)["choices"][0]["message"], [(loss.path, loss.reason) for loss in losses]


def decode(message: Any, **choice: Any) -> Output:
    """What a target's message says."""
    value = {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
    }
    decoded, losses = CHAT_CODEC.decode_answer(json.dumps(value).encode(), NEAR)
    assert losses == ()
    return decoded.outputs[0]


def test_answer_when_told_to_a_client() -> None:
    """Its id, model and time are ours, whatever the target's are."""
    data, losses = CHAT_CODEC.encode_answer(answer(Text("hi"), usage=Usage(input=3, output=2)), REPLY)
    assert losses == ()
    assert json.loads(data) == {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "public",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def test_texts_when_there_are_several() -> None:
    """They are one content, and citations count from its start."""
    cited = Citation("messages", Raw(b"{}"), url="https://a", title="A")
    spanned = Citation("responses", Raw(b"{}"), url="https://b", start=1, end=3)
    message, losses = encode(Text("one "), Text("two", (cited,)), Text("three", (spanned,)))
    assert losses == []
    assert message["content"] == "one twothree"
    assert [each["url_citation"] for each in message["annotations"]] == [
        {"start_index": 4, "end_index": 7, "title": "A", "url": "https://a"},
        {"start_index": 8, "end_index": 10, "title": "", "url": "https://b"},
    ]


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (Text("x", (Citation("messages", Raw(b"{}"), file_id="f"),), at="content[0]"), "citation"),
        (Text("x", (Citation("messages", Raw(b"{}"), url="u", quote="q"),), at="content[0]"), "cited words"),
        (Reasoning(FAR, ("t",), seal=Seal("signature", "s"), at="content[0]"), "seal"),
        (Reasoning(FAR, ("t",), ("s",), at="content[0]"), "summary"),
        (NativePart("messages", "server_tool_use", Raw(b"{}"), at="content[0]"), "server_tool_use"),
        (Image(url="u", at="content[0]"), "no place"),
    ],
)
def test_part_when_chat_has_no_place_for_it(part: AnyPart, word: str) -> None:
    """It is a loss at its place in the target's answer."""
    _, ((path, reason),) = encode(part)
    assert path == "content[0]"
    assert word in reason


def test_thoughts_when_shown_to_a_client() -> None:
    """Content where there is some, else summaries; paragraphs stay apart."""
    message, losses = encode(Reasoning(FAR, ("a", "b")), Reasoning(FAR, (), ("c",)), Text("x"))
    assert message["reasoning_content"] == "a\n\nb\n\nc"
    assert losses == []


def test_content_when_nothing_is_said() -> None:
    """It is empty, and null only where a call or a refusal stands in its place."""
    assert encode()[0]["content"] == ""
    assert encode(ToolCall("c", "f", "{}"))[0]["content"] is None
    assert encode(Refusal("no"))[0] == {"role": "assistant", "content": None, "refusal": "no"}


def test_fields_that_a_far_target_adds_are_losses() -> None:
    """Those of the answer and of its counts, by their places; counts of zero say nothing."""
    extras = Extras("messages", {"container": Raw(b'{"id":"c"}')})
    counts = Extras("messages", {"server_tool_use": Raw(b'{"web":1}'), "rounds": Raw(b"0")})
    usage = Usage(input=9, output=1, cache_write=5, cache_write_by={"1h": 5}, extras=counts)
    _, losses = encode(Text("x"), extras=extras, usage=usage)
    assert [path for path, _ in losses] == ["usage.server_tool_use", "usage", "container"]


def test_end_when_the_target_has_a_word_of_its_own() -> None:
    """A chat target's own word is passed on; another dialect's becomes a stop."""
    output = decode({"content": "x"}, finish_reason="insufficient_system_resource")
    assert (output.finish, output.told) == ("other", "insufficient_system_resource")
    for origin, word in ((NEAR, "insufficient_system_resource"), (FAR, "stop")):
        whole = Answer(origin=origin, id="", model="", outputs=(output,))
        data, _ = CHAT_CODEC.encode_answer(whole, REPLY)
        assert json.loads(data)["choices"][0]["finish_reason"] == word


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": None}, ()),
        ({"content": ""}, ()),
        ({}, ()),
        ({"content": "x", "tool_calls": None, "refusal": ""}, (Text("x", at="choices[0].message.content"),)),
        (
            {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]},
            (ToolCall("c", "f", '{"a":1}', at="choices[0].message.tool_calls[0]"),),
        ),
        (
            {"tool_calls": [{"id": None, "type": "function", "function": {"name": "f", "arguments": None}}]},
            (ToolCall("", "f", "", at="choices[0].message.tool_calls[0]"),),
        ),
        (
            {"tool_calls": ["odd"]},
            (NativePart("chat", "tool_call", Raw(b'"odd"'), at="choices[0].message.tool_calls[0]"),),
        ),
        (
            {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "x"}]},
            (
                NativePart("chat", "thinking", Raw(b'{"type":"thinking","thinking":[]}'), at="choices[0].message.content[0]"),
                Text("x", at="choices[0].message.content[1]"),
            ),
        ),
    ],
)  # fmt: skip
def test_message_when_a_server_has_its_own_ways(message: Any, parts: tuple[AnyPart, ...]) -> None:
    """What it says is read where it can be, and kept as it is where not."""
    assert decode({"role": "assistant", **message}).parts == parts


def test_content_in_parts_when_told_to_a_chat_client() -> None:
    """It stays in parts."""
    content = [{"type": "thinking", "thinking": [1]}, {"type": "text", "text": "x"}]
    output = decode({"content": content})
    data, losses = CHAT_CODEC.encode_answer(Answer(origin=NEAR, id="", model="", outputs=(output,)), REPLY)
    assert json.loads(data)["choices"][0]["message"]["content"] == content
    assert losses == ()


@pytest.mark.parametrize(
    "data", [b"[]", b"{}", b"<html>", b'{"choices":{}}', b'{"choices":[1]}', b'{"choices":[{"index":0}]}']
)
def test_answer_when_it_is_none(data: bytes) -> None:
    """What is no chat completion raises ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        CHAT_CODEC.decode_answer(data, NEAR)


@pytest.mark.parametrize("usage", [{"prompt_tokens": -1}, {"prompt_tokens": "9"}, [], "many", {}])
def test_counts_when_they_cannot_be_believed(usage: Any) -> None:
    """They are no usage; a chat client sees what the target wrote."""
    value = {"id": "c", "choices": [{"index": 0, "message": {"content": "x"}}], "usage": usage}
    decoded, _ = CHAT_CODEC.decode_answer(json.dumps(value).encode(), NEAR)
    assert decoded.usage is None
    data, _ = CHAT_CODEC.encode_answer(decoded, REPLY)
    assert json.loads(data)["usage"] == usage
    assert CHAT_CODEC.decode_usage(None) is None


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (
            b'{"error":{"message":"no","type":"t","param":"p","code":400}}',
            Failure(message="no", type="t", code="400", param="p"),
        ),
        (b'{"error":"no"}', Failure(message="no")),
        (b'{"message":"no","type":"t"}', Failure(message="no", type="t")),
        (b'{"detail":[1]}', Failure(message='{"detail":[1]}')),
        (b"[1]", Failure(message="[1]")),
        (b"<html>\xff", Failure(message="<html>\ufffd")),
    ],
)
def test_error_body_when_read(body: bytes, failure: Failure) -> None:
    """A message is found in any of the usual shapes, and never none."""
    assert CHAT_CODEC.decode_error(body) == failure
