"""What requests name by URLs in the places of files."""

import json
from typing import Any

import pytest

from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.messages import MESSAGES
from ingot.dialects.responses import RESPONSES
from ingot.errors import InvalidRequest

URL = "http://169.254.169.254/latest/"
OPEN = "https://example.org/"
DATA = "data:application/pdf;base64,JVBERi0="


def decoded(dialect: Dialect, fields: dict[str, Any]) -> Call:
    return dialect.decode(json.dumps({"model": "m", **fields}).encode())


def said(content: Any) -> dict[str, Any]:
    return {"max_tokens": 9, "messages": [{"role": "user", "content": content}]}


def screenshot(url: str) -> dict[str, Any]:
    output = {"type": "computer_screenshot", "image_url": url}
    return {"input": [{"type": "computer_call_output", "call_id": "c", "output": output}]}


def asked(part: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [part]}]}


def called(url: str) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "s", "server_url": url}


def shown(kind: str, url: str = URL) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "url", "url": url}}


def answered(kind: str, content: Any) -> dict[str, Any]:
    """A message that goes on from what a target's own tool answered."""
    block = {"type": kind, "tool_use_id": "t", "content": content}
    asked = {"role": "user", "content": "x"}
    return {"max_tokens": 9, "messages": [asked, {"role": "assistant", "content": [block]}, asked]}


NAMED: list[tuple[Dialect, dict[str, Any], str]] = [
    (
        CHAT,
        {"messages": said([{"type": "file", "file": {"file_data": URL}}])["messages"]},
        "messages[0].content[0].file.file_data",
    ),
    (RESPONSES, asked({"type": "input_file", "file_url": URL}), "input[0].content[0].file_url"),
    (
        RESPONSES,
        asked({"type": "input_file", "filename": "a.pdf", "file_data": URL}),
        "input[0].content[0].file_data",
    ),
    (RESPONSES, screenshot(URL), "input[0].output.image_url"),
    (
        MESSAGES,
        said([{"type": "document", "source": {"type": "url", "url": URL}}]),
        "messages[0].content[0].source.url",
    ),
    (RESPONSES, {"input": "x", "tools": [called(URL)]}, "tools[0].server_url"),
    (
        RESPONSES,
        {
            "input": "x",
            "tools": [{"type": "namespace", "name": "n", "description": "d", "tools": [called(URL)]}],
        },
        "tools[0].tools[0].server_url",
    ),
    (
        RESPONSES,
        {"input": [{"role": "user", "content": "x"}, {"type": "additional_tools", "tools": [called(URL)]}]},
        "input[1].tools[0].server_url",
    ),
    (
        MESSAGES,
        said("x") | {"mcp_servers": [{"type": "url", "name": "s", "url": URL}]},
        "mcp_servers[0].url",
    ),
    (
        MESSAGES,
        answered(
            "web_fetch_tool_result", {"type": "web_fetch_result", "url": OPEN, "content": shown("document")}
        ),
        "messages[1].content[0].content.content.source.url",
    ),
    (
        MESSAGES,
        answered("mcp_tool_result", [{"type": "text", "text": URL}, shown("image")]),
        "messages[1].content[0].content[1].source.url",
    ),
    (
        MESSAGES,
        {
            "max_tokens": 9,
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "mcp_tool_result", "tool_use_id": "t", "content": [shown("image")]}],
                }
            ],
        },
        "messages[0].content[0].content[0].source.url",
    ),
]


@pytest.mark.parametrize(("dialect", "fields", "place"), NAMED)
def test_decode_when_a_document_is_named_by_its_url(
    dialect: Dialect, fields: dict[str, Any], place: str
) -> None:
    """It is found by its place, wherever a target would fetch it, and is none of the images."""
    call = decoded(dialect, fields)
    assert [(each.field, each.url) for each in call.documents] == [(place, URL)]
    assert (call.images, call.files) == ((), ())


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        (CHAT, {"messages": said([{"type": "file", "file": {"file_data": "JVBERi0="}}])["messages"]}),
        (CHAT, {"messages": said([{"type": "file", "file": {"file_data": DATA}}])["messages"]}),
        (RESPONSES, asked({"type": "input_file", "filename": "a.pdf", "file_data": DATA})),
        (RESPONSES, screenshot("data:image/png;base64,AAAA")),
        (
            MESSAGES,
            said([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": URL}}]),
        ),
    ],
)
def test_decode_when_the_data_is_there(dialect: Dialect, fields: dict[str, Any]) -> None:
    """Data itself, as a URI or as bare base64, leads nowhere."""
    assert decoded(dialect, fields).documents == ()


@pytest.mark.parametrize(
    ("servers", "place"),
    [
        ({"type": "url", "name": "s", "url": URL}, "mcp_servers"),
        ("s", "mcp_servers"),
        ([URL], "mcp_servers[0]"),
        ([{"name": "s"}, {"name": "t", "url": [URL]}], "mcp_servers[1].url"),
    ],
)
def test_decode_when_servers_of_tools_have_another_shape(servers: Any, place: str) -> None:
    """Nothing that a target might read more kindly gets past the judge of URLs."""
    with pytest.raises(InvalidRequest) as caught:
        decoded(MESSAGES, said("x") | {"mcp_servers": servers})
    assert (caught.value.param, caught.value.code) == (place, "invalid_type")
