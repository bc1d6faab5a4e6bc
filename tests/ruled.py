"""Chat requests under a preset: what it lets through, and what it says of the rest."""

import json
from typing import Any

from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call
from ingot.dialects.tap import ChatTap
from ingot.errors import ApiError
from ingot.presets import Preset, dressed, encode_error, load, parse
from ingot.sse import SseSplitter, encode_event, event_data

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
GONE: Any = object()
"""Takes a field out of the plain request."""


def ask(preset: Preset | str, fields: dict[str, Any]) -> Call:
    """A chat request with these fields beside the plain ones, decoded under a preset."""
    chosen = load(preset) if isinstance(preset, str) else preset
    body = {key: value for key, value in {**PLAIN, **fields}.items() if value is not GONE}
    return dressed(CHAT, chosen).decode(json.dumps(body).encode())


def refusal(preset: Preset | str, fields: dict[str, Any]) -> ApiError:
    """What the preset says against such a request; fails where it says nothing."""
    try:
        call = ask(preset, fields)
    except ApiError as error:
        found = error
    else:
        raise AssertionError(f"accepted: {call.body.data.decode()}")
    assert found.status == 400
    return found


def body_of(call: Call) -> dict[str, Any]:
    """What a target would be sent, decoded."""
    return dict(call.body.value)


def told(preset: str, error: ApiError, request_id: str = "") -> tuple[int, dict[str, Any]]:
    """The status and the error object that a client gets."""
    status, body = encode_error(load(preset), error, request_id)
    outer = json.loads(body)
    assert list(outer) == ["error"]
    return status, outer["error"]


def shown(preset: Preset | str, answer: dict[str, Any]) -> dict[str, Any]:
    """What a client sees of a target's whole chat answer, decoded."""
    chosen = load(preset) if isinstance(preset, str) else preset
    return dict(json.loads(chosen.answers["chat"].whole(json.dumps(answer).encode())))


def streamed(preset: Preset | str, chunks: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], ChatTap]:
    """What a client sees of a target's chunks, and the tap that they went through."""
    chosen = load(preset) if isinstance(preset, str) else preset
    dialect = dressed(CHAT, chosen)
    call = dialect.decode(json.dumps({**PLAIN, "stream": True}).encode())
    tap = dialect.tap(call, model="m", public="m")
    given = [tap.feed(json.dumps(chunk).encode()) for chunk in chunks]
    events = b"".join(encode_event(each) for each in [*given, tap.feed(b"[DONE]")] if each is not None)
    payloads = [each for event in SseSplitter().feed(events) if (each := event_data(event)) is not None]
    assert payloads.pop() == b"[DONE]"
    assert isinstance(tap, ChatTap)
    return [json.loads(each) for each in payloads], tap


def written(text: str) -> Preset:
    """A preset of `open` and these lines."""
    return parse("written", f'extends = "open"\nabout = "A test."\n{text}')
