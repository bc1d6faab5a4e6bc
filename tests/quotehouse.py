"""What tests of quotes ask a whole server, and how."""

import json
from typing import Any

from served import Served

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat"] }
    slow = { base_url = "{up}", dialects = ["chat"], capacity = 1 }
    [models.mock]
    targets = ["up"]
    windows = ["asap", "priority", "standard", "flex"]
    price = { input = 1, output = 2, windows = { flex = { input = 0.5, output = 1 }, priority = { input = 1.5, output = 3 } } }
    [models.narrow]
    targets = ["slow"]
    windows = ["asap", "brief", "standard"]
    price = "free"
    [models.plain]
    targets = ["up"]
    price = "free"
    [windows.brief]
    seconds = 2
    [hosts]
    "valar.example.org" = "valar"
"""


def quote(served: Served, **fields: Any) -> tuple[int, Any]:
    """A request for a quote, and its answer."""
    status, _, answer = served.call("/v1/quotes", fields)
    return status, json.loads(answer)


def quoted(served: Served, **fields: Any) -> Any:
    """A quote that is given."""
    status, told = quote(served, **fields)
    assert status == 200, told
    return told


def refused(served: Served, **fields: Any) -> tuple[str | None, str]:
    """The field and the text of what is refused."""
    status, told = quote(served, **fields)
    assert status in {400, 404}, told
    return told["error"]["param"], told["error"]["message"]


BODIES: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "mock", "input": "Hello there.", "max_output_tokens": 100},
    "/v1/chat/completions": {
        "model": "mock",
        "messages": [{"role": "user", "content": "Hello there."}],
        "max_completion_tokens": 100,
    },
    "/v1/messages": {
        "model": "mock",
        "messages": [{"role": "user", "content": "Hello there."}],
        "max_tokens": 100,
    },
    "/v1/embeddings": {"model": "mock", "input": "Hello there."},
}


def upload(served: Served, content: bytes) -> str:
    """The id of a file of requests."""
    form = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
        + content
        + b"\r\n--b--\r\n"
    )
    status, _, answer = served.call(
        "/v1/files", form, headers={"content-type": "multipart/form-data; boundary=b"}, method="POST"
    )
    assert status == 200, answer
    return str(json.loads(answer)["id"])
