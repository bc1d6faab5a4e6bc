"""Names of tools that one dialect takes and another does not: the target has names in its letters, the client its own."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from batchhouse import CHAT, Scene
from rig import stage

CONFIG = """
    [targets]
    messages = { base_url = "{up}", dialects = ["messages"] }
    responses = { base_url = "{up}", dialects = ["responses"] }
    chat = { base_url = "{up}", dialects = ["chat"] }
    [models]
    messages = { targets = ["messages"], price = "free" }
    responses = { targets = ["responses"], price = "free" }
    chat = { targets = ["chat"], price = "free" }
"""
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
PATHS = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
PAIRS = [(client, target) for client in PATHS for target in ("messages", "responses") if client != target]
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
NAMES = ["files.read", "a/b", "größe", "x" * 200, "plain", "files_2e_read"]
LETTERS = re.compile(r"[a-zA-Z0-9_-]{1,128}")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("names"), CONFIG) as both:
        yield both


def tool(client: str, name: str) -> dict[str, Any]:
    """A tool as a client of this dialect offers it."""
    if client == "messages":
        return {"name": name, "input_schema": SCHEMA}
    function = {"name": name, "parameters": SCHEMA}
    return (
        {"type": "function", **function}
        if client == "responses"
        else {"type": "function", "function": function}
    )


def choice(client: str, name: str) -> dict[str, Any]:
    """The demand for a tool."""
    if client == "messages":
        return {"type": "tool", "name": name}
    return (
        {"type": "function", "name": name}
        if client == "responses"
        else {"type": "function", "function": {"name": name}}
    )


def history(client: str, name: str, text: str) -> list[Any]:
    """Turns in which a tool was called and answered, and what is said then."""
    first, said = {"role": "user", "content": "x"}, {"role": "user", "content": text}
    done = {"role": "assistant", "content": "Done."}
    if client == "messages":
        used = {"type": "tool_use", "id": "c1", "name": name, "input": {"x": 1}}
        told = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
        return [
            first,
            {"role": "assistant", "content": [used]},
            {"role": "user", "content": [told]},
            done,
            said,
        ]
    call = {"name": name, "arguments": '{"x":1}'}
    if client == "responses":
        output = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
        return [first, {"type": "function_call", "call_id": "c1", **call}, output, done, said]
    calls = [{"id": "c1", "type": "function", "function": call}]
    called = {"role": "assistant", "content": None, "tool_calls": calls}
    return [first, called, {"role": "tool", "tool_call_id": "c1", "content": "ok"}, done, said]


def body(client: str, target: str, text: str, name: str, **fields: Any) -> dict[str, Any]:
    """A request that offers all names, and demands one."""
    turns = "input" if client == "responses" else "messages"
    asked: dict[str, Any] = {
        "model": target,
        turns: history(client, name, text),
        "tools": [tool(client, each) for each in NAMES],
    }
    asked["tool_choice"] = choice(client, name)
    return asked | ({"max_tokens": 64} if client == "messages" else {}) | fields


def sent_names(sent: Any) -> list[str]:
    """The names of the tools that a target was offered."""
    return [str((each.get("function") or each)["name"]) for each in sent["tools"]]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("client", "target"), PAIRS)
def test_call_has_the_clients_name_when_the_target_has_another(
    scene: Scene, client: str, target: str, name: str, *, streamed: bool
) -> None:
    """Offered, demanded, called before and called now; no two tools become one."""
    served, upstream = scene
    served.call(PATHS[client], body(client, target, "x", name))
    names = sent_names(upstream.up.log[-1].json)
    assert len(set(names)) == len(NAMES)
    assert all(LETTERS.fullmatch(each) for each in names)
    assert names[-2:] == NAMES[-2:]
    plain = names[NAMES.index(name)]
    asked = body(client, target, f'call {plain} with {{"x": 7}}', name, stream=streamed)
    status, _, told = served.call(PATHS[client], asked)
    assert status == 200, told
    sent = json.dumps(upstream.up.log[-1].json)
    assert sent.count(f'"name": "{plain}"') == 3, sent
    assert called_names(told.decode()) == {name}


def called_names(answer: str) -> set[str]:
    """The names of calls in an answer or a stream; those of responses tell the tools that were offered, too."""
    found: set[str] = set()

    def look(value: Any, *, called: bool = False) -> None:
        if isinstance(value, dict):
            called = called or value.get("type") in {"function_call", "tool_use"} or "tool_calls" in value
            if called and isinstance(value.get("name"), str):
                found.add(value["name"])
            for name, each in value.items():
                look(each, called=called and name != "tools")
        elif isinstance(value, list):
            for each in value:
                look(each, called=called)

    for line in answer.splitlines():
        data = line.removeprefix("data: ")
        if data.startswith("{"):
            look(json.loads(data))
    return found


def test_name_is_left_alone_when_the_target_speaks_chat(scene: Scene) -> None:
    """Servers of chat take any, or refuse it themselves."""
    served, upstream = scene
    status, _, told = served.call(
        MESSAGES, body("messages", "chat", 'call files.read with {"x": 7}', "files.read")
    )
    assert (status, json.loads(told)["content"][0]["name"]) == (200, "files.read")
    assert sent_names(upstream.up.log[-1].json) == NAMES
