"""Streams in the background: read as they come, left and gone on with from an event, also after the server was killed."""

import json
import re
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from retryclient import rows, unique
from rig import Backstage, Line, payloads, post, stage, told, wait_until
from served import KEY, Served, serving

Scene = tuple[Served, Backstage]

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    [models]
    mock = { targets = ["up"], windows = ["asap", "standard"], price = { input = 1, output = 2 }, attempts = 1 }
"""
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("streams"), CONFIG) as both:
        yield both


def body(text: str) -> dict[str, Any]:
    """A chat call, streamed in the background."""
    return {
        "model": "mock",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "background": True,
    }


def numbers(stream: bytes) -> list[int]:
    """The numbers of events."""
    return [int(each) for each in re.findall(rb"^id: (\d+)$", stream, re.MULTILINE)]


def plain(stream: bytes) -> bytes:
    """The stream without them."""
    return re.sub(rb"(?m)^id: \d+\n", b"", stream)


def newest(served: Served) -> str:
    """The id of the last piece of work that was put in."""
    [(found,)] = rows(served.data, "SELECT id FROM items ORDER BY id DESC LIMIT 1")
    return str(found)


def test_stream_is_read_again_from_any_event_when_it_is_over(scene: Scene) -> None:
    """The events come numbered; a later reader gets them all, or those behind a number; billed once, whole for who polls."""
    served, upstream = scene
    text = unique()
    status, headers, stream = served.call(CHAT, body(text))
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    assert told(plain(stream)) == text.removeprefix("echo: ")
    assert payloads(plain(stream))[-1] == b"[DONE]"
    assert numbers(stream) == list(range(len(numbers(stream))))
    [(which,)] = rows(served.data, "SELECT id FROM responses ORDER BY id DESC LIMIT 1")
    _, _, again = served.call(f"{CHAT}/{which}?stream=true")
    assert again == stream
    _, _, rest = served.call(f"{CHAT}/{which}?stream=true&starting_after=4")
    assert numbers(rest) == numbers(stream)[5:]
    assert stream.endswith(rest)
    _, _, whole = served.call(f"{CHAT}/{which}")
    assert json.loads(whole)["choices"][0]["message"]["content"] == text.removeprefix("echo: ")
    assert sum(text.encode() in record.body for record in upstream.up.log) == 1
    assert len(rows(served.data, "SELECT 1 FROM ledger WHERE billable_id = ?", which)) == 1
    status, _, refused = served.call(f"{CHAT}/{which}?stream=true&starting_after=9999")
    assert (status, json.loads(refused)["error"]["param"]) == (400, "starting_after")


def test_stream_goes_on_when_openai_left_it_in_the_middle(scene: Scene) -> None:
    """The official client leaves after some events and comes back with `starting_after`: none is missing, none comes twice."""
    served, _ = scene
    with OpenAI(base_url=served.v1, api_key=KEY, max_retries=0, timeout=60) as client:
        text = unique("{{gap 0.05}} echo:")
        seen: list[int] = []
        said: list[str] = []
        which = ""
        with client.responses.create(model="mock", input=text, background=True, stream=True) as stream:
            for event in stream:
                seen.append(event.sequence_number)
                if event.type == "response.created":
                    which = event.response.id
                if event.type == "response.output_text.delta":
                    said.append(event.delta)
                if len(said) == 3:
                    break
        last = None
        with client.responses.retrieve(which, stream=True, starting_after=seen[-1]) as rest:
            for event in rest:
                seen.append(event.sequence_number)
                last = event
                if event.type == "response.output_text.delta":
                    said.append(event.delta)
        assert seen == list(range(len(seen)))
        assert text.endswith("".join(said))
        assert last is not None
        assert last.type == "response.completed"
        assert client.responses.retrieve(which).output_text == "".join(said)


def test_stream_ends_in_an_error_when_it_is_cancelled(scene: Scene) -> None:
    """A reader is told; what had come until then is billed."""
    served, _ = scene
    with OpenAI(base_url=served.v1, api_key=KEY, max_retries=0, timeout=60) as client:
        stream = client.responses.create(
            model="mock", input=unique("{{gap 0.1}} echo:"), background=True, stream=True
        )
        kinds: list[str] = []
        which = ""
        for event in stream:
            kinds.append(event.type)
            which = event.response.id if event.type == "response.created" else which
            if kinds.count("response.output_text.delta") == 2:
                assert client.responses.cancel(which).status == "cancelled"
                break
        stream.close()
    _, _, rest = served.call(f"/v1/responses/{which}?stream=true")
    assert b'"code":"cancelled"' in rest
    assert b"response.completed" not in rest
    [(amount,)] = rows(served.data, "SELECT amount FROM ledger WHERE billable_id = ?", which)
    assert amount < 0


def test_answer_is_begun_anew_when_the_server_was_killed(tmp_path: Path) -> None:
    """After SIGKILL in the middle a new reader gets the whole answer; who had a part is told that it does not go on."""
    with Backstage() as upstream:
        config = "[engine]\nenabled = false\n" + textwrap.dedent(CONFIG).replace("{up}", upstream.url)
        text = unique("{{hang 6 times=1}} echo:")
        with serving(config, tmp_path) as served, Line(served.port) as line:
            line.send(post(json.dumps(body(text)).encode()))
            got = b""
            while got.count(b"data: ") < 4:
                got += line.read(65536)
            which = newest(served)
            served.process.send_signal(signal.SIGKILL)
            served.process.wait()
        with serving(config, tmp_path) as served:
            wait_until(lambda: not rows(served.data, "SELECT 1 FROM items"), "it is done")
            _, _, stream = served.call(f"{CHAT}/{which}?stream=true")
            assert told(plain(stream)) == text.split("echo: ")[1]
            assert numbers(stream)[0] > 3
            _, _, rest = served.call(f"{CHAT}/{which}?stream=true&starting_after=2")
            assert b'"code":"stream_restarted"' in rest
            # No event without data: OpenAI's client reads each one that has a number.
            assert all(b"data: " in each for each in stream.split(b"\n\n") if b"id: " in each)
            assert len(rows(served.data, "SELECT 1 FROM ledger WHERE kind = 'inference'")) == 1
