"""Images of the messages dialect: where they are found, and what stands there once they were fetched."""

import json
from typing import Any

from ingot.dialects.messages import COUNT_TOKENS, MESSAGES
from ingot.images import data_uri

URL = {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}
DATA = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
FILE = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


def body(*messages: dict[str, Any]) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": messages}).encode()


def test_images_when_they_stand_anywhere() -> None:
    """Those of a turn, of a tool's result and of a document are found; what a file's id names is an attachment."""
    paper = {"type": "document", "source": {"type": "content", "content": [DATA]}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [URL]}
    request = body(
        {"role": "user", "content": [FILE, DATA, paper]},
        {"role": "assistant", "content": [CALL]},
        {"role": "user", "content": [result]},
    )
    for dialect in (MESSAGES, COUNT_TOKENS):
        assert [(each.field, each.url) for each in dialect.decode(request).images] == [
            ("messages[0].content[1].source", "data:image/png;base64,aGk="),
            ("messages[0].content[2].source.content[0].source", "data:image/png;base64,aGk="),
            ("messages[2].content[0].content[0].source", "https://x.org/a.png"),
        ]
    assert MESSAGES.decode(body({"role": "user", "content": "x"})).images == ()


def test_inline_images_when_they_were_fetched() -> None:
    """The bytes are there in place of the URL, and every other byte is as it came."""
    request = body({"role": "user", "content": [{"type": "text", "text": "?"}, URL]})
    call = MESSAGES.decode(request)
    [image] = call.images
    made = MESSAGES.inline_images(call, {image: data_uri("png", b"hi")})
    old = json.dumps(URL["source"]).encode()
    head, tail = request.split(old)
    assert made.body.data.startswith(head)
    assert made.body.data.endswith(tail)
    assert json.loads(made.body.data)["messages"][0]["content"][1] == DATA
    assert made.body.value["messages"][0]["content"][1] == DATA
