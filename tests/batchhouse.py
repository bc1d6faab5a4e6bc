"""Batches in the hands of tests: a server's configuration, batches made, read and waited for, and their lines."""

import json
from typing import Any, Final

from rig import Backstage, wait_until
from served import Served

Scene = tuple[Served, Backstage]

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    all = { base_url = "{up}", dialects = ["chat", "responses", "messages", "embeddings", "completions"] }
    frail = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    dying = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    narrow = { base_url = "{up}", dialects = ["chat"], capacity = 1 }
    poor = { base_url = "{up}", dialects = ["chat"], capacity = 1, breaker = { failures = 1000 } }
    [models]
    mock = { targets = ["up"], windows = ["asap", "standard", "flex"], price = { input = 1, output = 2, windows = { flex = { input = 0.5, output = 1 } } }, attempts = 1 }
    frail = { targets = ["frail"], price = { input = 1, output = 2 }, attempts = 1 }
    dying = { targets = ["dying"], windows = ["late"], price = "free", attempts = 1 }
    poor = { targets = ["poor"], windows = ["standard"], price = "free", attempts = 1 }
    only = { targets = ["all"], price = "free", attempts = 1 }
    single = { targets = ["narrow"], windows = ["standard"], price = "free", attempts = 1 }
    short = { targets = ["narrow"], windows = ["brief"], price = "free", attempts = 1 }
    [windows]
    brief = { seconds = 60, batch_seconds = 1.0 }
    late = { seconds = 60, batch_seconds = 0.05, batch_on_miss = "escalate" }
    [worker]
    request_seconds = 0.01
    [batches]
    requests = 500
    request_bytes = 20_000
    [hosts]
    "valar.example.org" = "valar"
"""
ENDED = {"completed", "failed", "expired", "cancelled"}
CHAT: Final = "/v1/chat/completions"


def chat(text: str, *, model: str = "mock", **fields: Any) -> dict[str, Any]:
    """A chat request's body."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def make(served: Served, requests: list[Any], **fields: Any) -> tuple[int, dict[str, str], Any]:
    """A batch with its requests in the body."""
    headers = fields.pop("headers", None)
    status, told, body = served.call(
        "/v1/batches", {"endpoint": CHAT, "requests": requests, **fields}, headers=headers
    )
    return status, told, json.loads(body)


def named(texts: dict[str, str], **fields: Any) -> list[dict[str, Any]]:
    """Requests by name."""
    return [{"custom_id": name, "params": chat(text, **fields)} for name, text in texts.items()]


def read(served: Served, which: str) -> Any:
    """A batch as it stands; its counts add up."""
    status, _, body = served.call(f"/v1/batches/{which}")
    assert status == 200, body
    batch = json.loads(body)
    counts = batch["request_counts"]
    assert sum(held for name, held in counts.items() if name != "total") == counts["total"]
    return batch


def over(served: Served, which: str) -> Any:
    """A batch once it has ended."""
    wait_until(lambda: read(served, which)["status"] in ENDED, f"{which} has ended")
    return read(served, which)


def results(served: Served, which: str, query: str = "") -> dict[str, Any]:
    """Its lines by name."""
    status, _, body = served.call(f"/v1/batches/{which}/results{query}")
    assert status == 200, body
    return {line["custom_id"]: line for line in map(json.loads, body.splitlines())}


def said(line: Any) -> str:
    """What an answer in a line says."""
    return str(line["response"]["body"]["choices"][0]["message"]["content"])
