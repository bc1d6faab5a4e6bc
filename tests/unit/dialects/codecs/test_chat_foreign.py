"""Requests of other dialects for a chat target: what can be said is said, and all else is a loss with its place."""

import json
from typing import Any

import pytest
from msgspec import Raw

from ingot.canonical import (
    AllowedTools,
    Audio,
    CacheHint,
    CacheSettings,
    Citation,
    CustomTool,
    Extras,
    File,
    FunctionTool,
    Image,
    JsonSchemaFormat,
    NamedTool,
    NativeChoice,
    NativePart,
    NativeTool,
    Origin,
    Reasoning,
    ReasoningSettings,
    Refusal,
    Request,
    Seal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.chat import CHAT_CODEC

HERE = Origin("messages", "elsewhere")
THERE = Origin("chat", "target")
HI = Turn("user", (Text("hi", at="content"),), at="messages[0]")
F = FunctionTool("f", at="tools[0]")


def encode(
    *turns: Turn, quirks: Quirks | None = None, stream: bool = False, **settings: Any
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What a chat target gets of a messages request, and the losses as pairs; chat's own check has passed."""
    request = Request(origin="messages", model="m", turns=turns or (HI,), **settings)
    data, losses = CHAT_CODEC.encode_request(
        request, Destination(THERE, "up", quirks or Quirks(), stream=stream)
    )
    CHAT.decode(data)
    # That a request ends with words of the assistant is told by itself: see test_prefill.
    told = [loss for loss in losses if "a last turn" not in loss.reason]
    return json.loads(data), [(loss.path, loss.reason) for loss in told]


def messages(*turns: Turn) -> Any:
    """The messages, of which nothing is lost."""
    told, losses = encode(*turns)
    assert losses == []
    return told["messages"]


def lost(*turns: Turn, **settings: Any) -> dict[str, str]:
    """The reasons by path."""
    _, losses = encode(*turns, **settings)
    assert len(dict(losses)) == len(losses)
    return dict(losses)


def test_results_of_tools_when_they_stand_in_a_user_turn() -> None:
    """Each becomes a message of its own, in order, before what the user says behind it."""
    call = ToolCall("c1", "f", "{}", at="content[0]")
    results = (
        ToolResult("c1", (Text("1", at="content"),), at="content[0]"),
        ToolResult("c2", (), at="content[1]", is_error=False),
        Text("so?", at="content[2]"),
    )
    assert messages(
        Turn("assistant", (call, ToolCall("c2", "f", "{}", at="content[1]")), at="messages[0]"),
        Turn("user", results, at="messages[1]"),
    )[1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": "so?"},
    ]


def test_turns_of_the_assistant_when_they_are_neighbours() -> None:
    """They are one message: the results of tools have to stand right behind their calls."""
    assert messages(
        Turn("assistant", (Text("a"),), at="input[0]"),
        Turn("assistant", (ToolCall("c1", "f", "{}"),), at="input[1]"),
        Turn("assistant", (ToolCall("c2", "g", "x", "custom"),), at="input[2]"),
        Turn("tool", (ToolResult("c1", (Text("1"),)),), at="input[3]"),
    ) == [
        {
            "role": "assistant",
            "content": "a",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]


def test_neighbours_when_the_client_spoke_chat() -> None:
    """A chat client's messages stay as many as they were."""
    request = Request(
        origin="chat", model="m", turns=(Turn("assistant", (Text("a"),)), Turn("assistant", ()))
    )
    data, _ = CHAT_CODEC.encode_request(request, Destination(THERE, "m", Quirks()))
    assert json.loads(data)["messages"] == [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": None},
    ]


@pytest.mark.parametrize(
    ("part", "encoded"),
    [
        (
            Image("aGk=", "image/gif"),
            {"type": "image_url", "image_url": {"url": "data:image/gif;base64,aGk="}},
        ),
        (Image(url="u", detail="low"), {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}),
        (Audio("UklG", "wav"), {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}),
        (
            File("JVBE", "application/pdf", filename="a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        ),
        (File(text="words"), {"type": "text", "text": "words"}),
    ],
)
def test_media_when_a_user_sends_them(part: Any, encoded: dict[str, Any]) -> None:
    """They are the content parts of chat."""
    assert messages(Turn("user", (Text("see"), part)))[0]["content"] == [
        {"type": "text", "text": "see"},
        encoded,
    ]


def test_document_when_it_is_all_there_is() -> None:
    """Its text is the message."""
    assert messages(Turn("user", (File(text="words"),)))[0]["content"] == "words"


@pytest.mark.parametrize(
    ("role", "part", "path", "word"),
    [
        ("user", Image(file_id="file_1", at="content[0]"), "messages[1].content[0]", "by the id of a file"),
        ("user", File(url="https://a", at="content[0]"), "messages[1].content[0]", "not by URL"),
        ("user", File(text="x", title="T", at="content[0]"), "messages[1].content[0].title", "no place"),
        ("user", File(text="x", context="C", at="content[0]"), "messages[1].content[0].context", "no place"),
        ("user", File(text="x", citations=True, at="content[0]"), "messages[1].content[0].citations", "no place"),
        ("user", NativePart("messages", "search_result", Raw(b"{}"), at="content[0]"), "messages[1].content[0]", "search_result"),
        ("user", Text("x", at="content[0]", cache=CacheHint("5m")), "messages[1].content[0]", "cache"),
        ("user", Refusal("x", at="content[0]"), "messages[1].content[0]", "'user'"),
        ("system", Image(url="u", at="content[0]"), "messages[1].content[0]", "'system'"),
        ("assistant", Image(url="u", at="content[0]"), "messages[1].content[0]", "'assistant'"),
        ("assistant", Reasoning(HERE, ("t",), at="content[0]"), "messages[1].content[0]", "thoughts"),
        (
            "assistant",
            Text("x", (Citation("messages", Raw(b"{}")),), at="content[0]"),
            "messages[1].content[0]",
            "citations",
        ),
        (
            "assistant",
            Text("x", at="content[0]", extras=Extras("messages", {"a": Raw(b"1"), "b": Raw(b"null")})),
            "messages[1].content[0].a",
            "messages dialect",
        ),
    ],
)  # fmt: skip
def test_part_when_chat_cannot_say_it(role: Any, part: Any, path: str, word: str) -> None:
    """It is a loss at its place in the client's body, and what can be said of it is said."""
    (found,) = lost(HI, Turn(role, (part,), at="messages[1]")).items()
    assert found[0] == path
    assert word in found[1]


def test_turn_when_nothing_of_it_is_left() -> None:
    """No empty message is sent."""
    told, losses = encode(
        HI,
        Turn(
            "assistant",
            (Reasoning(HERE, ("t",), seal=Seal("signature", "s"), at="content[0]"),),
            at="messages[1]",
        ),
        Turn("user", (Image(file_id="i", at="content[0]"),), at="messages[2]"),
    )
    assert told["messages"] == [{"role": "user", "content": "hi"}]
    assert [path for path, _ in losses] == ["messages[1].content[0]", "messages[2].content[0]"]


def test_result_of_a_tool_when_it_holds_more_than_text() -> None:
    """Text goes; an image, a failure and a breakpoint are losses, each at its place."""
    parts = (Text("see", at="content[0]"), Image(url="u", at="content[1]"))
    result = ToolResult("c", parts, is_error=True, at="content[0]", cache=CacheHint())
    told, losses = encode(HI, Turn("user", (result,), at="messages[1]"))
    assert told["messages"][1] == {"role": "tool", "tool_call_id": "c", "content": "see"}
    assert [path for path, _ in losses] == [
        "messages[1].content[0]",
        "messages[1].content[0].is_error",
        "messages[1].content[0].content[1]",
    ]


def test_text_when_it_stands_behind_a_call() -> None:
    """It is said, and that its place is lost is noted."""
    parts = (ToolCall("c", "f", "{}", at="content[0]"), Text("x", at="content[1]"))
    told, losses = encode(Turn("assistant", parts, at="messages[0]"))
    assert told["messages"][0]["content"] == "x"
    assert [path for path, _ in losses] == ["messages[0].content[1]"]


@pytest.mark.parametrize(
    ("origin", "goes"),
    [
        (Origin("chat"), True),
        (Origin("chat", "target"), True),
        (Origin("chat", "another"), False),
        (Origin("messages"), False),
        (Origin("responses", "target"), False),
    ],
)
def test_thoughts_when_sent_back(origin: Origin, goes: bool) -> None:  # noqa: FBT001  a row of the table above
    """They go to their own origin alone."""
    told, losses = encode(HI, Turn("assistant", (Reasoning(origin, ("t", "u")), Text("x")), at="messages[1]"))
    assert told["messages"][1].get("reasoning_content") == ("t\n\nu" if goes else None)
    assert bool(losses) is not goes


def test_tools_when_some_exist_elsewhere_only() -> None:
    """Functions and custom tools go; a hosted tool is a loss, and so is a choice of it."""
    hosted = NativeTool("messages", "bash_20250124", Raw(b"{}"), at="tools[1]")
    cached = CustomTool(
        "g", at="tools[2]", cache=CacheHint(), extras=Extras("messages", {"defer_loading": Raw(b"true")})
    )
    choice = NativeChoice("messages", Raw(b"{}"))
    told, losses = encode(tools=(F, hosted, cached), tool_choice=choice)
    assert told["tools"] == [
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "custom": {"name": "g"}},
    ]
    assert "tool_choice" not in told
    assert [path for path, _ in losses] == ["tools[1]", "tools[2].defer_loading", "tools[2]", "tool_choice"]


@pytest.mark.parametrize("choice", ["required", NamedTool("bash")])
def test_choice_when_no_tool_is_left(choice: Any) -> None:
    """What demands a call of nothing is not sent, and neither is a wish about calls in parallel."""
    hosted = NativeTool("messages", "bash", Raw(b"{}"), at="tools[0]")
    told, losses = encode(tools=(hosted,), tool_choice=choice, parallel_tool_calls=False)
    assert not told.keys() & {"tools", "tool_choice", "parallel_tool_calls"}
    assert [path for path, _ in losses] == ["tools[0]", "tool_choice"]


def test_allowed_tools_when_some_are_not_offered() -> None:
    """Those that are remain allowed; of none that is, none may be called."""
    allowed = AllowedTools("auto", (NamedTool("f"), NamedTool("gone")))
    told, losses = encode(tools=(F,), tool_choice=allowed)
    assert told["tool_choice"]["allowed_tools"] == {
        "mode": "auto",
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    assert [path for path, _ in losses] == ["tool_choice.tools[1]"]
    told, _ = encode(tools=(F,), tool_choice=AllowedTools("auto", (NamedTool("gone"),)))
    assert told["tool_choice"] == "none"


def test_schema_when_it_has_no_name() -> None:
    """It gets one, which chat demands; the schema's bytes stay."""
    told, losses = encode(output_format=JsonSchemaFormat(Raw(b'{"type": "object"}')))
    assert told["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": {"type": "object"}},
    }
    assert losses == []


@pytest.mark.parametrize(
    ("told", "effort", "paths"),
    [
        (ReasoningSettings(effort="xhigh"), "xhigh", []),
        (ReasoningSettings(budget=9000, mode="enabled"), "medium", ["thinking.budget_tokens"]),
        (ReasoningSettings(mode="disabled"), "none", []),
        (ReasoningSettings(budget=1024, effort="high"), "high", ["thinking.budget_tokens"]),
        (ReasoningSettings(mode="adaptive"), None, ["thinking.type"]),
        (ReasoningSettings(mode="adaptive", effort="low", summary="auto"), "low", ["thinking.display"]),
        (
            ReasoningSettings(extras=Extras("messages", {"between_tools": Raw(b"true")})),
            None,
            ["thinking.between_tools"],
        ),
    ],
)
def test_reasoning_when_asked_for_in_other_words(
    told: ReasoningSettings, effort: str | None, paths: list[str]
) -> None:
    """Effort is what chat knows; a budget is rounded to one, and that is noted."""
    places = {
        "reasoning": "thinking",
        "reasoning.budget": "thinking.budget_tokens",
        "reasoning.mode": "thinking.type",
        "reasoning.summary": "thinking.display",
    }
    body, losses = encode(reasoning=told, places=places)
    assert body.get("reasoning_effort") == effort
    assert [path for path, _ in losses] == paths


@pytest.mark.parametrize(
    ("settings", "sent", "paths"),
    [
        ({"max_output_tokens": 0}, {"max_completion_tokens": 1}, ["max_tokens"]),
        ({"max_output_tokens": 9}, {"max_completion_tokens": 9}, []),
        ({"stop": tuple("abcdef")}, {"stop": ["a", "b", "c", "d"]}, ["stop_sequences"]),
        ({"top_k": 5}, {"top_k": 5}, []),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}, []),
        ({"service_tier": "ultrafast"}, {}, ["service_tier"]),
        ({"cache": CacheSettings(key="k", hint=CacheHint())}, {"prompt_cache_key": "k"}, ["cache_control"]),
        ({"extras": Extras("messages", {"container": Raw(b'"c"')})}, {}, ["container"]),
        ({"extras": Extras("messages", {"container": Raw(b"null")})}, {}, []),
    ],
)
def test_setting_when_chat_knows_other_values(
    settings: dict[str, Any], sent: dict[str, Any], paths: list[str]
) -> None:
    """The nearest that is true is sent; a loss is named as the client's dialect names it."""
    places = {"max_output_tokens": "max_tokens", "stop": "stop_sequences", "cache.hint": "cache_control"}
    told, losses = encode(**settings, places=places)
    assert {name: told[name] for name in told if name not in {"model", "messages"}} == sent
    assert [path for path, _ in losses] == paths


def test_quirks_when_a_target_has_them() -> None:
    """They apply as to a chat client's body; what the target rejects is a loss, if it asks for anything."""
    quirks = Quirks(
        rename={"max_completion_tokens": "max_tokens"},
        drop=frozenset({"user"}),
        set={"seed": 7},
        reject=frozenset({"image_url", "tools.custom", "verbosity", "service_tier", "frequency_penalty"}),
    )
    turn = Turn("user", (Text("x", at="content[0]"), Image(url="u", at="content[1]")), at="messages[0]")
    told, losses = encode(
        turn,
        quirks=quirks,
        stream=True,
        tools=(CustomTool("g", at="tools[0]"),),
        max_output_tokens=5,
        user="ada",
        verbosity="high",
        service_tier="auto",
        frequency_penalty=0,
        places={"verbosity": "text.verbosity"},
    )
    assert told == {
        "model": "up",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 5,
        "service_tier": "auto",
        "frequency_penalty": 0,
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert [path for path, _ in losses] == ["messages[0].content[1]", "tools[0]", "text.verbosity", "user"]


def test_stream_options_when_the_target_lacks_them() -> None:
    """They are left out."""
    told, _ = encode(quirks=Quirks(stream_options=False), stream=True)
    assert told["stream"] is True
    assert "stream_options" not in told


def test_choice_when_the_target_reads_no_names() -> None:
    """The chosen tool alone is offered, and demanded."""
    told, _ = encode(
        tools=(F, FunctionTool("g")), tool_choice=NamedTool("g"), quirks=Quirks(narrow_tools=True)
    )
    assert [tool["function"]["name"] for tool in told["tools"]] == ["g"]
    assert told["tool_choice"] == "required"


def test_store_when_a_client_wants_it() -> None:
    """The answer is kept here, not at the target, and its metadata with it; nothing is lost by that."""
    told, losses = encode(store=True, metadata={"a": "b"})
    assert not told.keys() & {"store", "metadata"}
    assert losses == []
