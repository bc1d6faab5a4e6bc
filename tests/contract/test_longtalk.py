"""A coding agent's conversation of forty turns, there and back, between every pair of dialects.

Within one dialect every byte stays. Between two, what arrives is what was sent but for the listed losses: both sides are
laid out as steps with their places, those that a loss names are taken out, and the rest must be equal. A loss that
names nothing that was sent, or something that arrived all the same, fails too.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import UNSET, Raw

from ingot.canonical import (
    Answer,
    AnyPart,
    FunctionTool,
    Image,
    Losses,
    Origin,
    Reasoning,
    Request,
    Text,
    ToolCall,
    ToolResult,
    where,
)
from ingot.catalog import Quirks
from ingot.dialects.efforts import effort_of
from ingot.events import fold
from ingot.sse import SseSplitter, event_data
from pairs.exchange import CHECKS, CODECS, PAIRS, RELAYS, STREAMED, Sent, answer, dumped, send, stream
from pairs.longtalk import ANSWERS, TALKS, TURNS
from pairs.streams import STREAMS

Step = tuple[str, tuple[Any, ...]]
# Between two dialects the target's name differs, and so do the places and what is asked of a stream.
_ELSEWHERE = {"origin", "model", "turns", "places", "stream", "stream_usage", "tools", "reasoning", "store"}

others = pytest.mark.parametrize(("client", "target"), [pair for pair in PAIRS if pair[0] != pair[1]])


def steps_of(request: Request) -> Iterator[Step]:
    """All that a conversation says, each with its place; an empty text says nothing."""
    for turn in request.turns:
        role = "user" if turn.role == "tool" else turn.role
        for part in turn.parts:
            yield from part_steps(part, where(turn.at, part.at), role=role, detail=request.place("detail"))


def part_steps(part: AnyPart, at: str, *, role: str, detail: str = "detail") -> Iterator[Step]:
    """What a part says."""
    match part:
        case Text(text=""):
            pass
        case Text():
            yield at, (role, "text", part.text)
        case Image():
            yield at, (role, "image", part.data, part.media_type, part.url)
            if part.detail is not None:
                yield where(at, detail), (role, "detail", part.detail)
        case ToolCall():
            yield at, (role, "call", part.id, part.name, json.loads(part.arguments))
        case ToolResult():
            yield at, ("result", part.call_id)
            for inner in part.parts:
                yield from part_steps(inner, where(at, inner.at), role="result")
            if part.is_error:
                yield where(at, "is_error"), ("failed", part.call_id)
        case Reasoning():
            yield at, (role, "thoughts", part.content or part.summary, part.seal)
        case _:
            yield at, (role, part)


def settings_of(request: Request) -> dict[str, Any]:
    """All that a request sets; an effort goes by its word, a schema by what it says."""
    told = {
        name: getattr(request, name)
        for name in Request.__struct_fields__
        if name not in _ELSEWHERE and getattr(request, name) is not UNSET
    }
    for tool in request.tools:
        assert isinstance(tool, FunctionTool)
        assert isinstance(tool.parameters, Raw)
        told[f"tool {tool.name}"] = (tool.description, json.loads(bytes(tool.parameters)), bool(tool.strict))
    thinks = request.reasoning
    told["effort"] = None if thinks is None else thinks.effort or effort_of(thinks.budget or 0)
    told["store"] = bool(request.store)
    return {name: value for name, value in told.items() if value not in (None, ())}


def without(steps: list[Step], losses: Losses) -> list[tuple[Any, ...]]:
    """What is left of steps; each loss is of one that is there. What lost its place alone stands behind the results."""
    lost = {loss.path for loss in losses}
    moved = {loss.path for loss in losses if loss.reason.startswith("its place in the result")}
    left: list[tuple[Any, ...]] = []
    behind: list[tuple[Any, ...]] = []
    for at, told in steps:
        if told[0] not in {"result", "failed"}:
            left, behind = left + behind, []
        if at in moved:
            behind.append(("user", *told[1:]))
        elif at not in lost:
            left.append(told)
    return left + behind


def test_conversation_when_counted() -> None:
    """It is one of forty turns, with parallel calls, failures, images and thoughts, in every dialect."""
    assert TURNS == 40
    assert len(TALKS["messages"]["messages"]) == 41
    for name, talk in TALKS.items():
        kinds = [step[1] for _, step in steps_of(send(talk, name, name).request) if len(step) > 2]
        assert kinds.count("call") == 24
        assert kinds.count("thoughts") > 10
        assert kinds.count("image") == (1 if name == "chat" else 3)


@others
def test_conversation_when_it_goes_to_another_dialect(client: str, target: str) -> None:
    """The target is told all of it but the listed losses, and nothing else."""
    sent = send(TALKS[client], client, target)
    arrived, _ = CODECS[target].decode_request(CHECKS[target](sent.data))
    spoken, settings = list(steps_of(sent.request)), settings_of(sent.request)
    places = {at for at, _ in spoken}
    lost = {loss.path for loss in sent.losses}
    assert [told for _, told in steps_of(arrived)] == without(spoken, sent.losses)
    assert settings_of(arrived) == settings
    # A budget arrives as the word that it pays for, which is a loss all the same.
    assert lost - places <= {"thinking.budget_tokens"}
    assert len(sent.losses) == len(lost)


@others
def test_conversation_when_thoughts_are_in_it(client: str, target: str) -> None:
    """None of them goes to another dialect, sealed or not, and each is listed."""
    sent = send(TALKS[client], client, target)
    thoughts = [told for _, told in steps_of(sent.request) if told[1] == "thoughts"]
    reasons = [loss for loss in sent.losses if loss.reason.startswith("a model's thoughts go back only")]
    assert len(reasons) == len(thoughts)
    assert not any(told[2][0].encode() in sent.data for told in thoughts)
    assert b"EqQB" not in sent.data


@pytest.mark.parametrize("name", TALKS)
def test_conversation_when_it_stays_in_its_dialect(name: str) -> None:
    """The target gets the client's bytes; through the canonical form it would get the same, thoughts and seals included."""
    sent = send(TALKS[name], name, name)
    assert sent.losses == ()
    arrived, _ = CODECS[name].decode_request(CHECKS[name](sent.data))
    assert list(steps_of(arrived)) == list(steps_of(sent.request))
    assert settings_of(arrived) == settings_of(sent.request)
    data = dumped(TALKS[name])
    call = RELAYS[name].decode(data)
    assert RELAYS[name].prepare(call, model="demo", quirks=Quirks()) == data


def said_in(told: Answer) -> Iterator[Step]:
    """What an answer says and counts."""
    output = told.outputs[0]
    for part in output.parts:
        if isinstance(part, Reasoning):
            yield f"{part.at} text", ("thoughts", "\n\n".join(part.content or part.summary))
            if part.seal is not None:
                yield part.at, ("seal", part.seal)
        else:
            yield from part_steps(part, part.at, role="assistant")
    yield "finish", ("finish", output.finish)
    usage = told.usage
    assert usage is not None
    counted = (usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning)
    yield "usage", ("usage", *counted)


def check_answer(given: Answer, losses: Losses, *, target: str) -> None:
    """The client reads what the target wrote, but for what is listed."""
    whole, _ = CODECS[target].decode_answer(dumped(ANSWERS[target]), Origin(CODECS[target].name))
    written = list(said_in(whole))
    assert [told for _, told in said_in(given)] == without(written, losses)
    assert {loss.path for loss in losses} <= {at for at, _ in written}


def sent_from(client: str, target: str) -> Sent:
    """The conversation on its way."""
    return send(TALKS[client], client, target, stream=True)


@others
def test_answer_when_it_comes_from_another_dialect(client: str, target: str) -> None:
    """The client is told all of it but the listed losses: a seal is nobody else's."""
    data, losses = answer(ANSWERS[target], sent_from(client, target), client, target)
    given, _ = CODECS[client].decode_answer(data, Origin(CODECS[client].name))
    check_answer(given, losses, target=target)


@others
def test_stream_when_it_comes_from_another_dialect(client: str, target: str) -> None:
    """The same holds piece by piece."""
    data, losses = stream(STREAMS[target](ANSWERS[target]), sent_from(client, target), client, target)
    decoder = CODECS[client].decode_stream(Origin(CODECS[client].name), 1)
    told = []
    for event in SseSplitter().feed(data):
        held = event_data(event)
        if held is not None:
            told += decoder.feed(held)
    check_answer(fold([*told, *decoder.close()]), losses, target=target)


@pytest.mark.parametrize("name", RELAYS)
def test_answer_when_it_stays_in_its_dialect(name: str) -> None:
    """The client gets the target's bytes, whole and streamed."""
    relay = RELAYS[name]
    data = dumped(ANSWERS[name])
    assert relay.patch_answer(data, "demo") == data
    call = relay.decode(dumped({**TALKS[name], **STREAMED[name]}))
    tap = relay.tap(call, model="demo", public="demo")
    for event in SseSplitter().feed(STREAMS[name](ANSWERS[name])):
        held = event_data(event)
        assert held is None or tap.feed(held) is held
    assert tap.done
