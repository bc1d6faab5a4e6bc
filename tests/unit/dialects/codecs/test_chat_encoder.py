"""Events of any dialect as a chat client's stream: the chunks of chat, and a loss for what they cannot say."""

import json
from typing import Any

import pytest
from msgspec import Raw

from ingot.canonical import (
    Citation,
    Extras,
    Failure,
    NativePart,
    Origin,
    Reasoning,
    Request,
    Seal,
    Text,
    ToolCall,
    Turn,
    Usage,
)
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.chat.encoder import ChatEncoder
from ingot.dialects.fold import assemble
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Ended,
    Failed,
    Finished,
    Noted,
    PartEnded,
    PartStarted,
    Ping,
    ReasoningDelta,
    Sealed,
    Started,
    SummaryDelta,
    TextDelta,
    UsageTold,
)
from ingot.rawjson import Body

NEAR = Origin("chat", "target")
FAR = Origin("messages", "elsewhere")
START = Started(FAR, "msg_1", "far")


def client(*, usage: bool = False) -> ChatEncoder:
    """A client's stream."""
    asked = Request(origin="chat", model="public", turns=(Turn("user", ()),), stream=True, stream_usage=usage)
    return ChatEncoder(Reply("chatcmpl-9", "public", 1_790_000_000, asked, Body(b"{}", {})))


def chunks(data: bytes) -> list[Any]:
    """The chunks of a client's stream."""
    events = [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event.startswith(b"data: {")]
    return [json.loads(event) for event in events]


def told(*events: AnyEvent, usage: bool = False) -> tuple[Any, list[tuple[str, str]]]:
    """The first choice of the answer that a client joins from these events, one a feed, and the losses as pairs."""
    encoder = client(usage=usage)
    data = b"".join(encoder.feed([event]) for event in (START, *events))
    return json.loads(assemble(data))["choices"][0], [(loss.path, loss.reason) for loss in encoder.losses]


def test_chunks_when_a_far_target_answers() -> None:
    """They are those of chat: the role first, an end of its own, the counts if asked for, [DONE]."""
    encoder = client(usage=True)
    together: list[list[AnyEvent]] = [
        [START],
        [Ping()],
        [PartStarted(0, 0, Text("")), TextDelta(0, 0, "a"), TextDelta(0, 0, "b")],
        [PartEnded(0, 0), UsageTold(Usage(input=1, output=2))],
        [Finished(0, "refusal")],
        [Ended()],
    ]
    data = b"".join(encoder.feed(events) for events in together)
    assert data.startswith(b": ping\n\ndata: {")
    assert data.endswith(b"data: [DONE]\n\n")
    base = {
        "id": "chatcmpl-9",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "public",
    }
    first = {
        "index": 0,
        "delta": {"role": "assistant", "content": "ab"},
        "logprobs": None,
        "finish_reason": None,
    }
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "content_filter"}
    assert chunks(data) == [
        {**base, "choices": [first], "usage": None},
        {**base, "choices": [last], "usage": None},
        {**base, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    ]


def test_counts_when_the_client_did_not_ask() -> None:
    """There is no word of them."""
    encoder = client()
    data = encoder.feed([START, UsageTold(Usage(input=1)), Finished(0, "stop"), Ended()])
    assert b"usage" not in data


def test_calls_when_several_parts_stand_between_them() -> None:
    """Each has its own index, counted from 0."""
    choice, losses = told(
        PartStarted(0, 0, Text("")),
        PartStarted(0, 1, ToolCall("c1", "f", "")),
        PartStarted(0, 3, ToolCall("c2", "g", "", "custom")),
        ArgumentsDelta(0, 3, "x"),
        ArgumentsDelta(0, 1, "{"),
        ArgumentsDelta(0, 3, "y"),
        ArgumentsDelta(0, 1, "}"),
        Finished(0, "tool_calls"),
        Ended(),
    )
    assert losses == []
    assert choice["message"]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "xy"}},
    ]


def test_thoughts_when_told_in_paragraphs_and_parts() -> None:
    """They are one text, its paragraphs apart; a part's summary is shown where its content is not."""
    choice, losses = told(
        PartStarted(0, 0, Reasoning(FAR)),
        SummaryDelta(0, 0, "a"),
        SummaryDelta(0, 0, "b", 1),
        ReasoningDelta(0, 0, "hidden"),
        ReasoningDelta(0, 0, "hidden"),
        PartEnded(0, 0),
        PartStarted(0, 1, Reasoning(FAR, seal=Seal("redacted", "r"))),
        PartEnded(0, 1),
        PartStarted(0, 2, Reasoning(FAR, ("c",))),
        ReasoningDelta(0, 2, "d"),
        Sealed(0, 2, Seal("signature", "s")),
        Finished(0, "stop"),
        Ended(),
    )
    assert choice["message"]["reasoning_content"] == "a\n\nb\n\ncd"
    assert [reason.partition(":")[0] for _, reason in losses] == [
        "thoughts behind their summary",
        "its seal",
        "its seal",
    ]


def test_citations_when_they_cite_a_whole_text() -> None:
    """They count from the start of the whole content, to the end of the text that they stand in, wherever in it."""
    choice, losses = told(
        PartStarted(0, 0, Text("")),
        TextDelta(0, 0, "one "),
        PartEnded(0, 0),
        PartStarted(0, 1, Text("")),
        TextDelta(0, 1, "two"),
        Cited(0, 1, Citation("messages", Raw(b"{}"), url="u")),
        Cited(0, 1, Citation("messages", Raw(b"{}"), file_id="f")),
        TextDelta(0, 1, "!"),
        PartEnded(0, 1),
        Finished(0, "stop"),
        Ended(),
    )
    (annotation,) = choice["message"]["annotations"]
    assert annotation["url_citation"] == {"start_index": 4, "end_index": 8, "title": "", "url": "u"}
    assert len(losses) == 1


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (
            PartStarted(0, 0, NativePart("messages", "server_tool_use", Raw(b"{}"), at="content[0]")),
            "content[0]",
        ),
        (Noted(Extras("messages", {"container": Raw(b"1")})), "container"),
        (Noted(Extras("messages", {"stop_details": Raw(b"1")}), "choice"), "stop_details"),
        (PartEnded(0, 0, Extras("messages", {"caller": Raw(b"1")})), "caller"),
    ],
)
def test_event_when_chat_has_no_place_for_it(event: AnyEvent, path: str) -> None:
    """It is a loss, and the stream goes on."""
    choice, losses = told(event, TextDelta(0, 1, "x"), Finished(0, "stop"), Ended())
    assert choice["message"]["content"] == "x"
    assert [found for found, _ in losses] == [path]


def test_failure_when_the_target_reports_one() -> None:
    """What came before it is told; the error is not this encoder's to word."""
    data = client().feed([START, TextDelta(0, 0, "x"), Failed(Failure(message="GPU 7 burns"))])
    assert [each["choices"][0]["delta"] for each in chunks(data)] == [{"role": "assistant", "content": "x"}]
    assert b"GPU" not in data


def test_fields_of_a_message_when_they_grow() -> None:
    """Two pieces that come together are two chunks, for clients join them."""
    events: list[AnyEvent] = [
        Started(NEAR, "c", "m"),
        Noted(Extras("chat", {"mood": Raw(b'"ca"')}), "message"),
        Noted(Extras("chat", {"mood": Raw(b'"lm"')}), "message"),
        Noted(Extras("chat", {"x": Raw(b"1")}), "choice"),
        Noted(Extras("chat", {"timings": Raw(b"2")}), service_tier="flex"),
        Finished(0, "stop"),
        Ended(),
    ]
    whole = json.loads(assemble(client().feed(events)))
    assert whole["choices"][0]["message"]["mood"] == "calm"
    assert whole["choices"][0]["x"] == 1
    assert (whole["timings"], whole["service_tier"]) == (2, "flex")


def test_choice_when_nothing_is_said_in_it() -> None:
    """It has a role and an end all the same."""
    data = client().feed([START, Finished(1, "length"), Ended()])
    assert [each["choices"][0]["delta"] for each in chunks(data)] == [{"role": "assistant"}, {}]
    assert chunks(data)[1]["choices"][0]["finish_reason"] == "length"
