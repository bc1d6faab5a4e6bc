"""Requests of the messages dialect: what is refused, what each version forbids, and what goes to which target."""

import json
from typing import Any

import pytest
from msgspec import structs

from ingot.canonical import (
    CacheHint,
    CustomTool,
    Extras,
    FunctionTool,
    NamedTool,
    NativePart,
    Origin,
    Reasoning,
    ReasoningSettings,
    Request,
    Seal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.messages import MAX_TOKENS, MESSAGES_CODEC, MESSAGES_CODECS
from ingot.errors import ClientError
from ingot.rawjson import parse

OLD, NEW = MESSAGES_CODECS["2023-06-01"], MESSAGES_CODECS["2026-10-21"]
HI = {"role": "user", "content": "Hi."}
BODY: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [HI]}
THERE = Origin("messages", "target")
ASKED = Turn("user", (Text("Hi."),), at="messages[0]")


def decode(**changes: Any) -> Request:
    """The request of a body with these fields."""
    request, losses = OLD.decode_request(parse(json.dumps({**BODY, **changes}).encode()))
    assert losses == ()
    return request


def encode(
    request: Request, *, quirks: Quirks | None = None, target: str = "target"
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What a target gets, and what is lost."""
    to = Destination(Origin("messages", target), "up", quirks or Quirks())
    data, losses = OLD.encode_request(request, to)
    # That a request ends with words of the assistant is told by itself: see test_prefill.
    told = [loss for loss in losses if "a last turn" not in loss.reason]
    return json.loads(data), [(loss.path, loss.reason) for loss in told]


def chat(*turns: Turn, **settings: Any) -> Request:
    """A request of a client of chat."""
    return Request(origin="chat", model="m", turns=turns or (ASKED,), max_output_tokens=9000, **settings)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["Hi."]}, "messages[0]"),
        ({"messages": [{"role": "developer", "content": "Hi."}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi."]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": "Hi."}]}]}, "messages[0].content[0].type"),
        ({"model": None}, "model"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "1"}, "temperature"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences[1]"),
        ({"system": 5}, "system"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"thinking": {"type": 5}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "9"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": "json"}}, "output_config.format"),
        ({"metadata": "u"}, "metadata"),
    ],
)
def test_body_when_it_is_not_of_the_dialect(changes: dict[str, Any], param: str) -> None:
    """The error names the field."""
    with pytest.raises(ClientError) as told:
        decode(**changes)
    assert told.value.param == param
    assert param in told.value.message


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"temperature": 1}, "temperature"),
        ({"top_p": None}, "top_p"),
        ({"top_k": 4}, "top_k"),
        (
            {
                "messages": [
                    HI,
                    {
                        "role": "assistant",
                        "content": [{"type": "document", "source": {"type": "url", "url": "u"}}],
                    },
                ]
            },
            "messages[1].content[0]",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}],
                    }
                ]
            },
            "messages[0].content[0].citations",
        ),
    ],
)
def test_body_when_the_newest_version_forbids_a_part_of_it(changes: dict[str, Any], param: str) -> None:
    """The older version takes it, the newest says where it is."""
    body = parse(json.dumps({**BODY, **changes}).encode())
    OLD.decode_request(body)
    with pytest.raises(ClientError) as told:
        NEW.decode_request(body)
    assert told.value.param == param
    assert "2026-10-21" in told.value.message


def test_request_of_the_older_version_when_the_target_speaks_the_newest() -> None:
    """What that forbids stays out, and each is listed."""
    cited = [{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}]
    document = [
        {"type": "text", "text": "y"},
        {"type": "document", "source": {"type": "url", "url": "https://a.example"}},
    ]
    request = decode(
        temperature=0.5,
        top_p=1,
        messages=[{"role": "user", "content": cited}, {"role": "assistant", "content": document}],
    )
    data, losses = NEW.encode_request(request, Destination(THERE, "up", Quirks()))
    assert [loss.path for loss in losses] == [
        "messages[0].content[0].citations",
        "messages[1].content[1]",
        "temperature",
    ]
    NEW.decode_request(parse(data))


def test_bound_when_another_dialects_client_gives_none() -> None:
    """The figure is sent, and said to the client under its own name of the field."""
    request = Request(
        origin="chat", model="m", turns=(ASKED,), places={"max_output_tokens": "max_completion_tokens"}
    )
    told, losses = encode(request)
    assert told["max_tokens"] == MAX_TOKENS
    assert [path for path, reason in losses if str(MAX_TOKENS) in reason] == ["max_completion_tokens"]


def test_thoughts_when_they_go_elsewhere() -> None:
    """They go back to the target that they came from, signed as they were, and nowhere else."""
    seal = Seal("signature", "EqQB")
    mine = Reasoning(Origin("messages", "target"), ("Hm.",), seal=seal, at="content[0]")
    theirs = Reasoning(Origin("messages", "other"), ("Hm.",), seal=seal, at="content[1]")
    foreign = Reasoning(
        Origin("responses", "target"), summary=("Hm.",), seal=Seal("encrypted", "gAAA"), at="content[2]"
    )
    turn = Turn("assistant", (mine, theirs, foreign, Text("So.")), at="messages[1]")
    told, losses = encode(chat(ASKED, turn))
    assert told["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
        {"type": "text", "text": "So."},
    ]
    assert [path for path, _ in losses] == ["messages[1].content[1]", "messages[1].content[2]"]
    assert "EqQB" not in json.dumps(encode(chat(ASKED, turn), target="third")[0])


def test_turns_when_neighbours_of_other_dialects_get_one_role() -> None:
    """They become one message, blocks in their order; the results of tools are the user's."""
    calls = (ToolCall("a", "f", "{}"), ToolCall("b", "f", ""))
    turns = [
        ASKED,
        Turn("assistant", (Text("I look."),)),
        Turn("assistant", calls),
        Turn("tool", (ToolResult("b", (Text("2"),)),)),
        Turn("tool", (ToolResult("a", ()),)),
        Turn("user", (Text(""), Text("Go on."))),
    ]
    told, losses = encode(chat(*turns))
    assert [message["role"] for message in told["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in told["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
    assert told["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "b", "content": "2"},
        {"type": "tool_result", "tool_use_id": "a"},
        {"type": "text", "text": "Go on."},
    ]
    assert losses == []


def test_choice_when_its_tool_is_not_offered() -> None:
    """It is lost with its place, and so is a choice where no tool is left."""
    custom = CustomTool("sql", at="tools[0]")
    told, losses = encode(chat(tools=(custom,), tool_choice=NamedTool("sql", "custom")))
    assert "tools" not in told
    assert "tool_choice" not in told
    assert [path for path, _ in losses] == ["tools[0]", "tool_choice"]
    told, losses = encode(chat(tools=(custom,), tool_choice="required", parallel_tool_calls=False))
    assert [path for path, _ in losses] == ["tools[0]", "tool_choice"]
    told, losses = encode(chat(tool_choice="none"))
    assert "tool_choice" not in told
    assert losses == []


def test_thinking_when_a_tool_must_be_called() -> None:
    """The model cannot do both here."""
    settings = ReasoningSettings(effort="high")
    told, losses = encode(chat(tools=(FunctionTool("f"),), tool_choice="required", reasoning=settings))
    assert "thinking" not in told
    assert told["tool_choice"] == {"type": "any"}
    assert [path for path, _ in losses] == ["reasoning.effort"]


@pytest.mark.parametrize(("first", "thinks"), [("target", True), ("other", False)])
def test_thinking_when_thoughts_and_calls_are_turns_of_their_own(first: str, thinks: bool) -> None:  # noqa: FBT001  # a parameter
    """As those of responses are: it goes on where the thoughts before the last calls come back."""
    thoughts = Reasoning(Origin("messages", first), ("Hm.",), seal=Seal("signature", "EqQB"), at="input[1]")
    turns = (
        ASKED,
        Turn("assistant", (thoughts,), at="input[1]"),
        Turn("assistant", (ToolCall("call_1", "f", "{}", at="input[2]"),), at="input[2]"),
        Turn("tool", (ToolResult("call_1", (Text("7"),), at="input[3]"),), at="input[3]"),
    )
    tools = (FunctionTool("f"),)
    told, losses = encode(chat(*turns, tools=tools, reasoning=ReasoningSettings(effort="high")))
    assert ("thinking" in told) is thinks
    assert ("reasoning.effort" in [path for path, _ in losses]) is not thinks


@pytest.mark.parametrize(
    ("bound", "budget"),
    [(3000, 2250), (1366, 1024), (20_000, 15_000), (22_000, 16_384), (None, 16_384)],
)
def test_thinking_when_the_output_is_bounded(bound: int | None, budget: int) -> None:
    """A quarter of what the client allowed is left for the answer, whatever the effort."""
    asked = structs.replace(chat(reasoning=ReasoningSettings(effort="high")), max_output_tokens=bound)
    told, losses = encode(asked)
    assert told["max_tokens"] == (bound or MAX_TOKENS)
    assert told["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert [path for path, _ in losses] == ([] if bound else ["max_output_tokens"])


@pytest.mark.parametrize("bound", [1, 1025, 1365])
def test_thinking_when_the_answer_would_have_no_room(bound: int) -> None:
    """It is left out and told: a budget has a least."""
    asked = structs.replace(chat(reasoning=ReasoningSettings(effort="low")), max_output_tokens=bound)
    told, losses = encode(asked)
    assert "thinking" not in told
    assert [path for path, _ in losses] == ["reasoning.effort"]
    assert "leaves no room for the 1024 tokens" in losses[0][1]


def test_target_when_it_refuses_budgets_or_fields() -> None:
    """Its quirks decide between budget and effort, and take out what it refuses."""
    settings = ReasoningSettings(effort="high")
    told, _ = encode(chat(reasoning=settings), quirks=Quirks(reject=frozenset({"thinking.enabled"})))
    assert told["thinking"] == {"type": "adaptive"}
    assert told["output_config"] == {"effort": "high"}
    told, losses = encode(chat(top_k=4), quirks=Quirks(reject=frozenset({"top_k"}), set={"speed": "fast"}))
    assert "top_k" not in told
    assert told["speed"] == "fast"
    assert losses == [("top_k", "the target does not take it")]


def test_parts_when_only_another_dialect_knows_them() -> None:
    """Each is listed with its place, unknown fields too."""
    raw = parse(b'{"x":1}').raw["x"]
    native = NativePart("responses", "item_reference", raw, at="content[0]")
    text = Text("x", at="content[1]", extras=Extras("chat", {"weight": raw}), cache=CacheHint("30m"))
    told, losses = encode(chat(Turn("user", (native, text), at="messages[0]")))
    assert told["messages"][0]["content"] == [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    assert [path for path, _ in losses] == [
        "messages[0].content[0]",
        "messages[0].content[1].weight",
        "messages[0].content[1]",
    ]


def test_codec_when_no_version_is_named() -> None:
    """It is that of the older version, which nearly all servers take."""
    assert MESSAGES_CODEC is OLD


def test_integers_when_only_targets_read_them() -> None:
    """Ids of 64 bits in the input of a tool and bounds in its schema arrive in every digit."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"user_id": 1234567890123456789}}
    schema = {"type": "object", "properties": {"user_id": {"maximum": 18446744073709551615}}}
    request = decode(
        messages=[HI, {"role": "assistant", "content": [use]}], tools=[{"name": "f", "input_schema": schema}]
    )
    (call,) = request.turns[1].parts
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"user_id":1234567890123456789}'
    sent, _ = encode(structs.replace(request, origin="chat"))
    assert sent["messages"][1]["content"][0]["input"] == use["input"]
    assert sent["tools"][0]["input_schema"] == schema
