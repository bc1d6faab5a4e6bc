"""Calls of `/v1/messages` against a server with a target that speaks Anthropic's format, and what comes back of them."""

import json
from typing import Any

from rig import Backstage, fresh_id, wait_until
from served import KEY, Served

SECRET = "sk-ant-upstream-secret-0123456789"
CONFIG = f"""
    [targets]
    up = {{ base_url = "{{up}}", dialects = ["messages"], api_key = "{SECRET}", breaker = {{ failures = 1000 }} }}
    fixed = {{ base_url = "{{up}}", dialects = ["messages"], headers = {{ x-api-key = "sk-own", anthropic-beta = "theirs" }} }}
    quirky = {{ base_url = "{{up}}", dialects = ["messages"], quirks = {{ rename = {{ top_k = "k" }}, drop = ["metadata"], set = {{ speed = "fast" }}, reject = ["thinking", "image"] }} }}
    openai = {{ base_url = "{{up}}", dialects = ["completions"] }}
    [models]
    claude = {{ targets = ["up"], price = {{ input = 3, cached_input = 0.3, cache_write = 3.75, output = 15 }}, attempts = 2 }}
    fixed = {{ targets = ["fixed"], price = "free" }}
    quirky = {{ targets = ["quirky"], price = "free" }}
    gpt = {{ targets = ["openai"], price = "free" }}
    [models."org/renamed"]
    targets = [{{ target = "up", model = "claude" }}]
    price = "free"
"""

Scene = tuple[Served, Backstage]


def body_of(text: str, *, model: str = "claude", **fields: Any) -> dict[str, Any]:
    """A message request with one user message."""
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **fields}


def ask(
    served: Served,
    body: Any,
    *,
    path: str = "/v1/messages",
    headers: dict[str, str] | None = None,
    key: str | None = KEY,
) -> tuple[int, dict[str, str], bytes, str]:
    """Status, headers, body and the request's id."""
    request_id = fresh_id()
    status, told, answer = served.call(
        path, body, headers={"x-request-id": request_id, **(headers or {})}, key=key
    )
    return status, told, answer, request_id


def events(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of a stream's events."""
    found = []
    for event in stream.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def error_of(answer: bytes, request_id: str) -> dict[str, Any]:
    """The error object of Anthropic's envelope."""
    value = json.loads(answer)
    assert (value["type"], value["request_id"]) == ("error", request_id)
    assert set(value) == {"type", "error", "request_id"}
    return dict(value["error"])


def row(served: Served, request_id: str) -> dict[str, Any]:
    """The request's row in the organization's own log, once it is there."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        _, _, answer = served.call("/v1/usage/requests")
        found[:] = [each for each in json.loads(answer)["data"] if each["request_id"] == request_id]
        return bool(found)

    wait_until(look, f"the log has {request_id}")
    return found[0]
