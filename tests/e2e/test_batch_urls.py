"""Images and URLs in requests of batches: what they tell without being looked up is judged when the batch is made."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batchhouse import CHAT, Scene, chat, over
from pictures import data_uri, png
from retryclient import rows
from rig import stage, wait_until

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat", "responses", "messages"] }
    [models]
    m = { targets = ["up"], price = "free" }
    blind = { targets = ["up"], price = "free", images = "refuse" }
    [worker]
    request_seconds = 0.01
    [images]
    networks = ["10.20.0.0/16"]
"""
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
PICTURE = data_uri(png(8, 8))
INSIDE = "http://169.254.169.254/latest/"
USER = "https://me:secret@example.org/a"
OPEN = "https://10.20.1.1/a"


def in_chat(*parts: dict[str, Any], model: str = "m") -> dict[str, Any]:
    return chat("x", model=model) | {"messages": [{"role": "user", "content": list(parts)}]}


def in_responses(*parts: dict[str, Any], model: str = "m", **fields: Any) -> dict[str, Any]:
    return {"model": model, "input": [{"role": "user", "content": list(parts)}], **fields}


def in_messages(*blocks: dict[str, Any], model: str = "m", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": [{"type": "text", "text": "echo: hi"}, *blocks]}]
    return {"model": model, "max_tokens": 9, "messages": messages, **fields}


def chat_image(url: str, **more: Any) -> dict[str, Any]:
    return in_chat({"type": "image_url", "image_url": {"url": url}}, **more)


def chat_file(url: str) -> dict[str, Any]:
    return in_chat({"type": "file", "file": {"filename": "a.pdf", "file_data": url}})


def responses_image(url: str) -> dict[str, Any]:
    return in_responses({"type": "input_image", "image_url": url})


def responses_file(url: str) -> dict[str, Any]:
    return in_responses({"type": "input_file", "file_url": url})


def responses_server(url: str) -> dict[str, Any]:
    tools = [{"type": "mcp", "server_label": "s", "server_url": url}]
    return in_responses({"type": "input_text", "text": "echo: hi"}, tools=tools)


def messages_block(kind: str, url: str) -> dict[str, Any]:
    return in_messages({"type": kind, "source": {"type": "url", "url": url}})


def messages_server(url: str) -> dict[str, Any]:
    return in_messages(mcp_servers=[{"type": "url", "name": "a", "url": url}])


FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    (CHAT, chat_image(INSIDE), "messages[0].content[0].image_url.url", "metadata"),
    (CHAT, chat_image(USER), "messages[0].content[0].image_url.url", "a user or a password"),
    (CHAT, chat_image("data:image/png;base64,AAA"), "messages[0].content[0].image_url.url", "is not base64"),
    (CHAT, chat_image(PICTURE, model="blind"), "messages[0].content[0].image_url.url", "does not support"),
    (CHAT, in_chat(*[{"type": "image_url", "image_url": {"url": OPEN}}] * 21), "messages[0].content[20].image_url.url", "at most 20"),
    (CHAT, chat_file("ftp://example.org/a.pdf"), "messages[0].content[0].file.file_data", 'must begin with "https://"'),
    (RESPONSES, responses_image("http://127.0.0.1/a.png"), "input[0].content[0].image_url", "not on the public internet"),
    (RESPONSES, in_responses({"type": "input_image", "file_id": "file-1"}, model="blind"), "input[0].content[0].file_id", "does not support"),
    (RESPONSES, responses_file("http://localhost/a.pdf"), "input[0].content[0].file_url", "not on the public internet"),
    (RESPONSES, responses_server(INSIDE), "tools[0].server_url", "metadata"),
    (MESSAGES, messages_block("image", INSIDE), "messages.0.content.1.source", "metadata"),
    (MESSAGES, messages_block("document", USER), "messages.0.content.1.source.url", "a user or a password"),
    (MESSAGES, messages_server("http://10.0.0.8/mcp"), "mcp_servers.0.url", "not on the public internet"),
    (MESSAGES, in_messages(mcp_servers={"type": "url", "name": "a", "url": OPEN}), "mcp_servers", "xpected an array"),
]  # fmt: skip
TAKEN = [
    (CHAT, chat_image(OPEN)),
    (CHAT, chat_image(PICTURE)),
    (RESPONSES, responses_server(OPEN)),
    (MESSAGES, messages_block("document", OPEN)),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("urls"), CONFIG) as both:
        yield both


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(("path", "body", "field", "reason"), FAULTS)
def test_batch_is_refused_when_a_url_tells_against_itself(
    scene: Scene, path: str, body: dict[str, Any], field: str, reason: str, *, quoted: bool
) -> None:
    """By its place, and a quote of it too; nothing is left, no target is asked, and the URL is not repeated."""
    served, upstream = scene
    before, asked = rows(served.data, "SELECT count(*) FROM batches"), len(upstream.up.log)
    good = chat("x", model="m") if path == CHAT else in_messages() if path == MESSAGES else in_responses()
    requests = [{"custom_id": "a", "params": good}, {"custom_id": "b", "params": body}]
    status, _, told = served.call(
        "/v1/quotes" if quoted else "/v1/batches", {"endpoint": path, "requests": requests}
    )
    error = json.loads(told)["error"]
    dotted = error["param"].replace("[", ".").replace("]", "")
    assert (status, dotted) == (400, f"requests.1.params.{field.replace('[', '.').replace(']', '')}")
    assert reason in error["message"]
    assert "secret" not in error["message"]
    wait_until(lambda: rows(served.data, "SELECT count(*) FROM batches") == before, "nothing is left")
    assert len(upstream.up.log) == asked


@pytest.mark.parametrize(("path", "body"), TAKEN)
def test_batch_is_taken_when_its_urls_may_be_called(scene: Scene, path: str, body: dict[str, Any]) -> None:
    """As a client that waits has them taken."""
    served, _ = scene
    made = {"endpoint": path, "requests": [{"custom_id": "a", "params": body}]}
    status, _, told = served.call("/v1/batches", made)
    assert status == 200, told
    assert over(served, json.loads(told)["id"])["request_counts"]["completed"] == 1


def test_line_is_named_when_a_file_holds_a_url_inside(scene: Scene) -> None:
    """The batch fails with the line's number and its field, and none of its requests runs."""
    served, upstream = scene
    asked = len(upstream.up.log)
    bodies = [chat("x", model="m"), chat_image(INSIDE)]
    lines = [
        {"custom_id": f"r{number}", "method": "POST", "url": CHAT, "body": body}
        for number, body in enumerate(bodies)
    ]
    data = b"\n".join(json.dumps(line).encode() for line in lines)
    form = b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\n'
    form += (
        b'content-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n' + data + b"\r\n--x--\r\n"
    )
    _, _, file = served.call("/v1/files", form, headers={"content-type": "multipart/form-data; boundary=x"})
    made = {"endpoint": CHAT, "input_file_id": json.loads(file)["id"], "completion_window": "24h"}
    batch = over(served, json.loads(served.call("/v1/batches", made)[2])["id"])
    (fault,) = batch["errors"]["data"]
    place = "body.messages[0].content[0].image_url.url"
    assert (batch["status"], fault["line"], fault["param"]) == ("failed", 2, place)
    assert "metadata" in fault["message"]
    assert len(upstream.up.log) == asked


def test_anthropics_batch_is_refused_when_a_server_leads_inside(scene: Scene) -> None:
    """In its own envelope."""
    served, _ = scene
    made = {"requests": [{"custom_id": "a", "params": messages_server(INSIDE)}]}
    status, _, told = served.call("/v1/messages/batches", made, headers={"anthropic-version": "2023-06-01"})
    error = json.loads(told)["error"]
    assert (status, error["type"], "metadata" in error["message"]) == (400, "invalid_request_error", True)
    assert "requests[0]" in error["message"]
