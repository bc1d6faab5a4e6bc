"""What a target has no place for and is told in other words: names of speakers, titles and contexts of documents.

Under the default `on_loss`, which refuses what would be lost.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from kindhouse import CONFIG
from messagehouse import Scene, ask, body_of, error_of
from rig import stage

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
# As libraries of agents write turns: each agent under its name.
TURNS = [
    {"role": "user", "content": "Plan a trip."},
    {"role": "assistant", "content": "Oslo, then.", "name": "planner"},
    {"role": "assistant", "content": "It will rain.", "name": "critic"},
    {"role": "user", "content": "echo: Go on", "name": "ada"},
]
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {}}}}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("otherwise"), CONFIG) as both:
        yield both


def texts(value: Any) -> list[str]:
    """All texts of messages or items, in their order."""
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    if isinstance(value, dict):
        return texts(value.get("content", value.get("text", [])))
    return [value]


def arrived(scene: Scene, model: str, request_id: str) -> list[str]:
    """The texts that the target got."""
    (record,) = scene[1].seen(request_id)
    assert record.path == PATHS[model]
    return texts(record.json["input" if model == "responses" else "messages"])


def lost(headers: dict[str, str], paths: str) -> list[str]:
    """The places of losses that lie there."""
    told = [each.partition("=")[0] for each in headers.get("x-ingot-loss", "").split("; ")]
    return [path for path in told if path.startswith(paths)]


@pytest.mark.parametrize("model", ["messages", "responses"])
def test_names_stand_in_front_when_several_speak_in_a_role(scene: Scene, model: str) -> None:
    """Of the two agents and, beside a user without a name, of the one who has one."""
    body = {"model": model, "messages": TURNS}
    status, headers, _, request_id = ask(scene[0], body, path=PATHS["chat"])
    assert status == 200
    assert arrived(scene, model, request_id) == [
        "Plan a trip.",
        "planner: Oslo, then.",
        "critic: It will rain.",
        "ada: echo: Go on",
    ]
    assert lost(headers, "messages") == [f"messages[{index}].name" for index in (1, 2, 3)]


def test_names_go_as_they_came_when_the_target_has_them(scene: Scene) -> None:
    """Nothing is put into other words that need not be."""
    status, headers, _, request_id = ask(scene[0], {"model": "chat", "messages": TURNS}, path=PATHS["chat"])
    assert status == 200
    (record,) = scene[1].seen(request_id)
    assert record.json["messages"] == TURNS
    assert "x-ingot-loss" not in headers


@pytest.mark.parametrize("model", ["chat", "responses"])
def test_title_and_context_stand_before_a_document(scene: Scene, model: str) -> None:
    """And a tool that the model itself calls loses nothing, while one that is for code alone is refused."""
    source = {"type": "text", "media_type": "text/plain", "data": "It rained."}
    document = {"type": "document", "source": source, "title": "Weather", "context": "Of 1999."}
    content = [document, {"type": "text", "text": "echo: so"}]
    body: Any = {**body_of("", model=model), "messages": [{"role": "user", "content": content}]}
    body["tools"] = [{**TOOL, "allowed_callers": ["direct"]}]
    status, headers, _, request_id = ask(scene[0], body)
    assert status == 200
    assert arrived(scene, model, request_id) == [
        "Title: Weather\nContext: Of 1999.",
        "It rained.",
        "echo: so",
    ]
    assert lost(headers, "messages") == [f"messages[0].content[0].{name}" for name in ("title", "context")]
    assert lost(headers, "tools") == []
    body["tools"] = [{**TOOL, "allowed_callers": ["code_execution_20260120"]}]
    status, _, answer, request_id = ask(scene[0], body)
    assert status == 400
    assert "tools.0.allowed_callers" in error_of(answer, request_id)["message"]
    assert scene[1].seen(request_id) == []
