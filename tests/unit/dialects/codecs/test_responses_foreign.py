"""Requests between responses and other dialects: what each makes of the other's, and what is lost where."""

import json
from typing import Any

import pytest

from ingot.canonical import (
    Audio,
    CacheHint,
    File,
    FunctionTool,
    Image,
    NamedTool,
    Origin,
    Reasoning,
    ReasoningSettings,
    Request,
    Seal,
    Text,
    ToolResult,
    Turn,
)
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.rawjson import parse

Json = dict[str, Any]


OF_RESPONSES: Json = {
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_file", "file_url": "https://a.example/a"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_image", "image_url": "https://a.example/b"}],
        },
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "g"},
        {"type": "web_search"},
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
    },
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "top_logprobs": 2,
    "max_output_tokens": 50,
    "truncation": "auto",
    "max_tool_calls": 2,
    "previous_response_id": "resp_0",
}
OF_CHAT: Json = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "name": "ada",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Hm.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ],
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "n": 2,
    "stop": "x",
    "seed": 7,
    "frequency_penalty": 0.5,
    "presence_penalty": 0,
    "logit_bias": {"5": 1},
    "reasoning_effort": "high",
    "logprobs": True,
    "service_tier": "auto",
    "guided_json": {"a": 1},
}


def read(**fields: Any) -> Request:
    """A client's request of these fields."""
    body = {"model": "m", "input": "hi", **fields}
    request, losses = RESPONSES_CODEC.decode_request(parse(json.dumps(body).encode()))
    assert losses == ()
    return request


def sent(
    request: Request, *, quirks: Quirks | None = None, origin: Origin | None = None, stream: bool = False
) -> tuple[Json, list[str]]:
    """What a target of responses gets, and the places of what is lost."""
    to = Destination(origin or Origin("responses", "t"), "m", quirks or Quirks(), stream=stream)
    data, losses = RESPONSES_CODEC.encode_request(request, to)
    # That a request ends with words of the assistant is told by itself: see test_prefill.
    return json.loads(data), [loss.path for loss in losses if "a last turn" not in loss.reason]


def foreign(*parts: Any, role: Any = "user", **settings: Any) -> Request:
    """A request of a messages client."""
    turn = Turn(role, parts, at="messages[0]")
    return Request(origin="messages", model="m", turns=(turn,), **settings)


@pytest.mark.parametrize(("top", "told"), [(2, (True, 2)), (0, (None, None))])
def test_chat_when_only_the_number_of_log_probabilities_is_asked(top: int, told: tuple[Any, Any]) -> None:
    """The number alone asks for them; none of them asks for nothing."""
    request = read(model="m", input="x", top_logprobs=top)
    data, losses = CHAT_CODEC.encode_request(request, Destination(Origin("chat", "t"), "m", Quirks()))
    body = CHAT.decode(data).body.value
    assert ((body.get("logprobs"), body.get("top_logprobs")), losses) == (told, ())


def test_chat_when_it_gets_a_request_of_responses() -> None:
    """What chat can say is a valid body, and the rest is listed by its place."""
    request = read(**OF_RESPONSES)
    data, losses = CHAT_CODEC.encode_request(request, Destination(Origin("chat", "t"), "m", Quirks()))
    body = CHAT.decode(data).body.value
    assert [message["role"] for message in body["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
    ]
    assert [call["type"] for call in body["messages"][2]["tool_calls"]] == ["function", "custom"]
    assert body["response_format"]["json_schema"]["name"] == "n"
    assert (body["logprobs"], body["top_logprobs"], body["max_completion_tokens"]) == (True, 2, 50)
    assert {loss.path for loss in losses} == {
        "input[0].content[1]",
        "input[1]",
        "input[4].output[0]",
        "input[6]",
        "tools[2]",
        "tool_choice.tools[1]",
        "reasoning.summary",
        "include",
        "truncation",
        "max_tool_calls",
        "previous_response_id",
    }


def test_request_when_it_comes_from_chat() -> None:
    """Its messages are items, its tools are flat and not strict, and settings without a place are listed."""
    request, _ = CHAT_CODEC.decode_request(CHAT.decode(json.dumps(OF_CHAT).encode()).body)
    told, lost = sent(request)
    assert told == {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "role": "assistant", "content": "Hm."},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": False}],
        "tool_choice": {"type": "function", "name": "f"},
        "reasoning": {"effort": "high"},
        "include": ["message.output_text.logprobs"],
        "service_tier": "auto",
        "store": False,
    }
    assert set(lost) == {
        "messages[1].name",
        "messages[1].content[1]",
        "n",
        "stop",
        "seed",
        "frequency_penalty",
        "logit_bias",
        "guided_json",
    }
    again, _ = RESPONSES_CODEC.decode_request(parse(json.dumps(told).encode()))
    assert [turn.role for turn in again.turns] == ["system", "user", "assistant", "assistant", "tool"]


def test_thoughts_when_they_go_elsewhere() -> None:
    """They go back to their own origin alone, seals unchanged; elsewhere they are a loss."""
    mine = Reasoning(Origin("responses", "t"), (), ("s",), Seal("encrypted", "E"), item="rs_1")
    request = Request(origin="responses", model="m", turns=(Turn("assistant", (mine,), at="input[0]"),))
    told, lost = sent(request)
    assert told["input"][0]["encrypted_content"] == "E"
    assert lost == []
    told, lost = sent(request, origin=Origin("responses", "other"))
    assert "input" not in told
    assert lost == ["input[0]"]
    theirs = Reasoning(Origin("messages"), ("t",), (), Seal("signature", "S"), at="content[0]")
    told, lost = sent(foreign(theirs, Text("hi"), role="assistant"))
    assert told["input"] == [{"type": "message", "role": "assistant", "content": "hi"}]
    assert lost == ["messages[0].content[0]"]


def test_turn_when_it_holds_results_and_text() -> None:
    """Each result is an item in its place, and what stands around it is a message."""
    result = ToolResult("c1", (Text("1"),), is_error=True, at="content[0]")
    told, lost = sent(foreign(result, Text("and?")))
    assert told["input"] == [
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "message", "role": "user", "content": "and?"},
    ]
    assert lost == ["messages[0].content[0].is_error"]


def test_parts_when_they_have_no_place() -> None:
    """Each that cannot be said is listed, and a message with nothing left is not sent."""
    told, lost = sent(foreign(Audio("UklG", "wav", at="content[0]")))
    assert told["input"] == []
    assert lost == ["messages[0].content[0]"]
    document = File(text="Rain.", title="T", context="C", citations=True, at="content[0]")
    told, lost = sent(foreign(document, Text("x", cache=CacheHint(), at="content[1]")))
    assert [part["text"] for part in told["input"][0]["content"]] == [
        "Title: T\nContext: C",
        "Rain.",
        "x",
    ]
    assert lost == [
        "messages[0].content[0].title",
        "messages[0].content[0].context",
        "messages[0].content[0].citations",
        "messages[0].content[1]",
    ]


def test_image_when_its_detail_is_not_said() -> None:
    """It is sent as auto, which some servers demand, and read as not said."""
    told, _ = sent(foreign(Image(file_id="file-1")))
    assert told["input"][0]["content"] == [{"type": "input_image", "detail": "auto", "file_id": "file-1"}]
    again = read(input=told["input"])
    assert again.turns[0].parts[0] == Image(file_id="file-1", at="content[0]")


@pytest.mark.parametrize(
    ("told", "effort", "lost"),
    [
        (ReasoningSettings(budget=8192, mode="enabled"), "medium", ["reasoning.budget"]),
        (ReasoningSettings(mode="disabled"), "none", []),
        (ReasoningSettings(effort="max", summary="auto"), "max", []),
    ],
)
def test_effort_when_it_was_a_budget(told: ReasoningSettings, effort: str, lost: list[str]) -> None:
    """A budget becomes the largest effort that it pays for, and says so."""
    value, paths = sent(foreign(Text("hi"), reasoning=told))
    assert value["reasoning"]["effort"] == effort
    assert paths == lost


def test_target_when_it_refuses_things() -> None:
    """What a target is known to refuse is taken out, and listed by its place in the client's body."""
    request = read(
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "x"},
                    {"type": "input_image", "image_url": "https://a.example/1"},
                ],
            }
        ],
        tools=[{"type": "custom", "name": "g"}],
        tool_choice="required",
        service_tier="flex",
        text={"verbosity": "low"},
    )
    quirks = Quirks(
        reject=frozenset({"image_url", "tools.custom", "service_tier", "text"}),
        rename={"max_output_tokens": "max_tokens"},
        set={"seed": 1},
    )
    told, lost = sent(request, quirks=quirks)
    assert told == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "seed": 1,
    }
    assert lost == ["input[0].content[1]", "tools[0]", "tool_choice", "service_tier", "text.format"]


def test_choice_when_its_tool_is_not_offered() -> None:
    """It is not sent, and listed."""
    tools = (FunctionTool("f"),)
    told, lost = sent(foreign(Text("hi"), tools=tools, tool_choice=NamedTool("g")))
    assert "tool_choice" not in told
    assert lost == ["tool_choice"]


@pytest.mark.parametrize("store", [None, False, True])
def test_store_when_the_client_speaks_another_dialect(store: Any) -> None:
    """The target is told to store nothing: what is kept is kept by us, and its metadata with it."""
    told, lost = sent(foreign(Text("hi"), store=store, metadata={"a": "b"}))
    assert told["store"] is False
    assert ("metadata" in told) is (not store)
    assert lost == []


def test_choice_when_no_tool_is_left() -> None:
    """A choice among nothing is not sent; that nothing must be called is no loss."""
    told, lost = sent(foreign(Text("hi"), tool_choice="auto", parallel_tool_calls=True))
    assert told.keys() == {"model", "input", "store"}
    assert lost == []


def test_file_when_it_has_a_title_only() -> None:
    """Its data goes under the title as its name; by id or URL it has none, and the title is a text."""
    named = File(data="JVBE", media_type="application/pdf", title="Report", at="content[0]")
    known = File(file_id="file-1", title="Annex", at="content[1]")
    told, lost = sent(foreign(named, known))
    assert [part.get("filename", part.get("text")) for part in told["input"][0]["content"]] == [
        "Report",
        "Title: Annex",
        None,
    ]
    assert lost == ["messages[0].content[1].title"]
