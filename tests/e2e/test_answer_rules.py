"""Valar's rules on answers hold where the target thinks, whichever dialect it speaks, whole and streamed.

The preset refuses streams on these surfaces; one that extends it takes them.
"""

import json
from collections.abc import Iterator

import pytest

from messagehouse import Scene, ask, body_of, events, row
from rig import stage

CONFIG = """
    [server]
    preset = "ours"
    [targets]
    chat = { base_url = "{up}", dialects = ["chat"] }
    messages = { base_url = "{up}", dialects = ["messages"] }
    responses = { base_url = "{up}", dialects = ["responses"] }
    [models]
    chat = { targets = ["chat"], price = "free" }
    messages = { targets = ["messages"], price = "free" }
    responses = { targets = ["responses"], price = "free" }
    [presets.ours]
    extends = "valar"
    [presets.ours.fields.messages]
    stream = "accept"
    [presets.ours.fields.responses]
    stream = "accept"
    [presets.ours.answers.responses]
    "output.content.annotations" = "drop"
    "output.status" = "drop"
"""
MODELS = ("chat", "messages", "responses")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("rules"), CONFIG) as both:
        yield both


def unpinged(stream: bytes) -> bytes:
    """A stream without the comments that keep it open."""
    return stream.replace(b": ping\n\n", b"")


@pytest.mark.parametrize("model", MODELS)
def test_s4_141_message_is_one_text_when_its_target_thinks(scene: Scene, model: str) -> None:
    """No block of thinking, not even in a stream; the text is the whole one."""
    served, _ = scene
    _, _, answer, _ = ask(served, body_of("think: Hm, well.", model=model))
    content = json.loads(answer)["content"]
    assert [block["type"] for block in content] == ["text"]
    _, _, streamed, _ = ask(served, body_of("think: Hm, well.", model=model, stream=True))
    told = [event for _, event in events(unpinged(streamed))]
    blocks = [event["content_block"]["type"] for event in told if event["type"] == "content_block_start"]
    assert blocks == ["text"]
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert {each["type"] for each in deltas} == {"text_delta"}
    assert "".join(each["text"] for each in deltas) == content[0]["text"] != ""
    assert [event["type"] for event in told][-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("model", MODELS)
def test_c_05_response_tells_its_counts_by_both_names_when_asked(scene: Scene, model: str) -> None:
    """Also in `response.completed`."""
    served, _ = scene
    body = {"model": model, "input": "Hello there."}
    _, _, answer, _ = ask(served, body, path="/v1/responses")
    _, _, streamed, _ = ask(served, {**body, "stream": True}, path="/v1/responses")
    (last,) = [event for name, event in events(unpinged(streamed)) if name == "response.completed"]
    for usage in (json.loads(answer)["usage"], last["response"]["usage"]):
        assert usage["prompt_tokens"] == usage["input_tokens"] > 0
        assert usage["completion_tokens"] == usage["output_tokens"] > 0


@pytest.mark.parametrize("model", MODELS)
def test_s4_100_rules_hold_on_items_when_a_response_is_streamed(scene: Scene, model: str) -> None:
    """What is taken out of the whole is told by no event before it, whichever dialect the target speaks."""
    served, _ = scene
    body = {"model": model, "input": "think: Hm, well.", "stream": True}
    _, _, streamed, _ = ask(served, body, path="/v1/responses")
    told = [event for _, event in events(unpinged(streamed))]
    items = [event["item"] for event in told if "item" in event]
    assert items
    assert not any("status" in item for item in [*items, *told[-1]["response"]["output"]])
    parts = [event["part"] for event in told if "part" in event]
    assert parts
    assert not any("annotations" in part for part in parts)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


@pytest.mark.parametrize("way", ["whole", "streamed"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
def test_counts_are_the_bill_when_the_target_told_none(scene: Scene, path: str, way: str) -> None:
    """What was estimated and booked is what the client is told, with no loss of it."""
    served, _ = scene
    prompt = "words: 12 {{usage missing}}"
    body = body_of(prompt, model="chat") if path == "/v1/messages" else {"model": "chat", "input": prompt}
    _, headers, answer, request_id = ask(served, {**body, "stream": way == "streamed"}, path=path)
    if way == "whole":
        usage = json.loads(answer)["usage"]
        assert "usage" not in headers.get("x-ingot-loss", "")
    elif path == "/v1/messages":
        (usage,) = [data["usage"] for name, data in events(unpinged(answer)) if name == "message_delta"]
    else:
        usage = events(unpinged(answer))[-1][1]["response"]["usage"]
    found = row(served, request_id)
    assert usage["output_tokens"] == found["output_tokens"] > 0
    assert usage["input_tokens"] == found["input_tokens"] > 0
