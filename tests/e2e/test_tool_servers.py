"""Servers of tools that a target calls by their URLs: judged like any URL that a target is sent to, and relayed as they came."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from messagehouse import Scene, body_of
from rig import stage
from served import Served

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["messages", "responses"] }
    [models]
    claude = { targets = ["up"], price = "free" }
    [images]
    networks = ["10.20.0.0/16"]
"""
PUBLIC = "https://tools.example.org/mcp?key=1"
CLOSED = [
    ("http://169.254.169.254/latest/", "metadata"),
    ("http://127.0.0.1:8080/mcp", "not on the public internet"),
    ("https://[::ffff:10.0.0.8]/mcp", "inside of an IPv6 one"),
    ("http://2130706433/", "four decimal numbers"),
    ("https://localhost/mcp", "not on the public internet"),
    ("https://me:secret@tools.example.org/", "a user or a password"),
    ("file:///etc/passwd", 'must begin with "https://"'),
    ("data:text/plain,x", 'must begin with "https://"'),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("tools"), CONFIG) as both:
        yield both


def in_responses(url: str) -> dict[str, Any]:
    """A request whose second tool is on this server."""
    tools = [
        {"type": "function", "name": "f", "parameters": {}},
        {"type": "mcp", "server_label": "s", "server_url": url},
    ]
    return {"model": "claude", "input": "echo: hi", "tools": tools}


def in_messages(url: str) -> dict[str, Any]:
    """The same of messages."""
    servers = [{"type": "url", "name": "a", "url": PUBLIC}, {"type": "url", "name": "b", "url": url}]
    return body_of("echo: hi", mcp_servers=servers)


def in_found(url: str) -> dict[str, Any]:
    """The same of tools that a search found, in a namespace of them."""
    server = {"type": "mcp", "server_label": "s", "server_url": url}
    space = {"type": "namespace", "name": "n", "description": "d", "tools": [server]}
    found = {"type": "tool_search_output", "call_id": "c", "execution": "client", "status": "completed"}
    return {"model": "claude", "input": [found | {"tools": [space]}, {"role": "user", "content": "echo: hi"}]}


def in_result(url: str) -> dict[str, Any]:
    """The same of a picture in what a server of tools answered."""
    picture = {"type": "image", "source": {"type": "url", "url": url}}
    block = {"type": "mcp_tool_result", "tool_use_id": "t", "content": [picture]}
    said = [{"type": "text", "text": "echo: hi"}, block]
    return body_of("", messages=[{"role": "user", "content": said}])


SURFACES = [
    ("/v1/responses", in_responses, "tools[1].server_url"),
    ("/v1/messages", in_messages, "mcp_servers.1.url"),
    ("/v1/messages/count_tokens", in_messages, "mcp_servers.1.url"),
    ("/v1/responses", in_found, "input[0].tools[0].tools[0].server_url"),
    ("/v1/responses/input_tokens", in_found, "input[0].tools[0].tools[0].server_url"),
]


def asked(served: Served, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """The status, and what is said."""
    if path.endswith("count_tokens"):
        body = {name: held for name, held in body.items() if name != "max_tokens"}
    status, _, told = served.call(path, body)
    return status, str((json.loads(told).get("error") or {}).get("message"))


@pytest.mark.parametrize(("path", "ask", "field"), SURFACES)
@pytest.mark.parametrize(("url", "reason"), CLOSED)
def test_server_is_refused_when_its_url_leads_inside(
    scene: Scene, path: str, ask: Any, field: str, url: str, reason: str
) -> None:
    """The field is named, the URL is not repeated, and no target is asked."""
    served, upstream = scene
    before = len(upstream.up.log)
    status, message = asked(served, path, ask(url))
    assert (status, f"The URL at '{field}'" in message, reason in message) == (400, True, True), message
    assert "secret" not in message
    assert len(upstream.up.log) == before


@pytest.mark.parametrize(("url", "reason"), CLOSED[:3])
def test_result_of_a_server_is_refused_when_a_url_in_it_leads_inside(
    scene: Scene, url: str, reason: str
) -> None:
    """A target that gets the result again fetches what it shows; on the public internet it may."""
    served, upstream = scene
    before = len(upstream.up.log)
    status, message = asked(served, "/v1/messages", in_result(url))
    assert (status, reason in message) == (400, True), message
    assert "The URL at 'messages.0.content.1.content.0.source.url'" in message
    assert len(upstream.up.log) == before
    assert asked(served, "/v1/messages", in_result(PUBLIC))[0] == 200


@pytest.mark.parametrize(("path", "ask", "field"), SURFACES[:2])
@pytest.mark.parametrize("url", [PUBLIC, "https://10.20.1.1/mcp"])
def test_server_is_relayed_when_its_url_may_be_called(
    scene: Scene, path: str, ask: Any, field: str, url: str
) -> None:
    """As it came: the public internet, and networks that the operator opened."""
    served, upstream = scene
    status, message = asked(served, path, ask(url))
    assert status == 200, message
    sent = json.loads(upstream.up.log[-1].body)
    assert url in json.dumps(sent[field.replace("[", ".").partition(".")[0]])


def test_background_response_is_refused_when_its_server_leads_inside(scene: Scene) -> None:
    """Before it is taken."""
    body = in_responses("http://169.254.169.254/") | {"background": True}
    status, message = asked(scene[0], "/v1/responses", body)
    assert (status, "tools[1].server_url" in message) == (400, True)
