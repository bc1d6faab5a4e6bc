"""The scripted upstream is trusted by every other test, so it is tested itself, over real sockets."""

import asyncio
import base64
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from upstream import ScriptedUpstream, Step
from upstream_answers import answer, chat, chat_chunks, tokens
from upstream_opaque import vector
from upstream_schema import instance
from upstream_script import find_marker, parse, strip_markers

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def ask(text: str, **more: Any) -> dict[str, Any]:
    """A chat request with one user message."""
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


@contextlib.asynccontextmanager
async def connect(up: ScriptedUpstream) -> AsyncIterator[Streams]:
    """A raw connection to the upstream, closed afterwards however it ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def head(body: bytes, path: str = "/v1/chat/completions", *, method: str = "POST", extra: str = "") -> bytes:
    """A request head for a body."""
    return f"{method} {path} HTTP/1.1\r\nhost: up\r\ncontent-length: {len(body)}\r\n{extra}\r\n".encode()


async def send(
    streams: Streams, body: dict[str, Any] | None, path: str = "/v1/chat/completions", **more: str
) -> None:
    """Sends a request."""
    data = json.dumps(body).encode() if body is not None else b""
    streams[1].write(head(data, path, **more) + data)
    await streams[1].drain()


async def read_all(
    up: ScriptedUpstream, body: dict[str, Any] | None, path: str = "/v1/chat/completions"
) -> bytes:
    """Every byte of one answer: the request asks nothing of the connection, so the script has to end it."""
    async with connect(up) as streams:
        await send(streams, body, path)
        return await asyncio.wait_for(streams[0].read(), 10)


async def fetch(
    up: ScriptedUpstream,
    body: dict[str, Any] | None,
    path: str = "/v1/chat/completions",
    *,
    method: str = "POST",
) -> tuple[bytes, bytes]:
    """Head and body of one answer on a connection that stays open until both are complete."""
    async with connect(up) as streams:
        await send(streams, body, path, method=method)
        reader = streams[0]
        found = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        if b"transfer-encoding: chunked" in found:
            return found, await asyncio.wait_for(read_chunks(reader), 10)
        length = int(found.split(b"content-length: ")[1].split(b"\r\n")[0])
        return found, await asyncio.wait_for(reader.readexactly(length), 10)


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body, decoded."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    return body


async def drain(raw: socket.socket, got: bytearray) -> None:
    """Reads to the end, keeping what came if the end is an error."""
    loop = asyncio.get_running_loop()
    while data := await asyncio.wait_for(loop.sock_recv(raw, 65536), 10):
        got += data


def events(body: bytes) -> list[Any]:
    """The data payloads of a stream in the plainest form."""
    datas = [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]
    return ["[DONE]" if data == b"[DONE]" else json.loads(data) for data in datas]


def test_answer_when_echo_returns_the_rest() -> None:
    """echo: gives back what follows; markers do not count."""
    assert answer(ask("{{cut 3}} echo: a  b")["messages"]) == "a  b"


def test_answer_when_asked_twice_is_the_same() -> None:
    """The prompt alone decides, and choices differ."""
    messages = ask("What is a fjord?")["messages"]
    assert answer(messages) == answer(messages)
    assert answer(messages, 1) != answer(messages)


def test_tokens_when_joined_give_the_text() -> None:
    """Cutting into tokens loses nothing."""
    text = " two\n words\u2028and  more \n"
    assert "".join(tokens(text)) == text


def test_chat_when_limited_or_stopped_says_why() -> None:
    """max_tokens ends with length, a stop string with stop, and usage counts what is left."""
    short = chat(ask("words: 50", max_tokens=7))
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"] == {
        **short["usage"],
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
    }
    stopped = chat(ask("echo: one two three", stop=[" three", "two"]))
    assert stopped["choices"][0]["message"]["content"] == "one "
    assert stopped["choices"][0]["finish_reason"] == "stop"


def test_chat_when_tools_are_called_returns_exact_arguments() -> None:
    """Several calls of one prompt are parallel calls, unless forbidden."""
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("f", "g")]
    body = ask('call f with {"a":  {"b": 1}} and call g with {}', tools=tools)
    calls = chat(body)["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"name": "f", "arguments": '{"a":  {"b": 1}}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert len(chat({**body, "parallel_tool_calls": False})["choices"][0]["message"]["tool_calls"]) == 1
    assert "tool_calls" not in chat({**body, "tool_choice": "none"})["choices"][0]["message"]


def test_chat_chunks_when_streamed_join_to_the_whole() -> None:
    """Deltas of two interleaved choices add up to what the plain answer says."""
    body = ask("think: it through", n=2, logprobs=True, top_logprobs=2)
    whole = chat(body)["choices"]
    for index in range(2):
        mine = [c["choices"][0] for c in chat_chunks(body) if c["choices"][0]["index"] == index]
        assert "".join(c["delta"].get("content") or "" for c in mine) == whole[index]["message"]["content"]
        assert "".join(c["delta"].get("reasoning_content", "") for c in mine) == "it through"
        probs = [entry for c in mine if c["logprobs"] for entry in c["logprobs"]["content"]]
        assert probs == whole[index]["logprobs"]["content"]
        assert all(len(entry["top_logprobs"]) == 2 for entry in probs)
        assert mine[-1] == {"index": index, "delta": {}, "logprobs": None, "finish_reason": "stop"}


def test_chat_chunks_when_usage_is_wanted_follow_the_real_order() -> None:
    """Usage is null in every chunk but the last, which has no choices."""
    body = ask("echo: hi there", stream_options={"include_usage": True})
    chunks = chat_chunks(body)
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert all("usage" not in chunk for chunk in chat_chunks(ask("echo: hi")))


def test_usage_when_scripted_is_as_odd_as_told() -> None:
    """Each kind of bad accounting can be had."""
    body = ask("echo: hi", stream_options={"include_usage": True})
    assert len([c for c in chat_chunks(body, step=Step(usage="twice")) if not c["choices"]]) == 2
    assert all("usage" not in chunk for chunk in chat_chunks(body, step=Step(usage="missing")))
    assert all(chunk["usage"] for chunk in chat_chunks(body, step=Step(usage="running")))
    assert chat_chunks(body, step=Step(usage="with-finish"))[-1]["choices"]
    assert chat(body, step=Step(usage="wrong"))["usage"]["total_tokens"] == 3
    assert "usage" not in chat(body, step=Step(usage="missing"))


def test_chat_when_a_schema_is_given_fits_it() -> None:
    """json_schema answers with a minimal instance; references, unions and bounds included."""
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 6},
            "kind": {"enum": ["a", "b"]},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
            "size": {"type": ["integer", "null"], "minimum": 3},
        },
        "$defs": {"item": {"type": "object", "properties": {"ok": {"type": "boolean"}}}},
    }
    wanted = {"name": "textxx", "kind": "a", "next": None, "items": [{"ok": True}], "size": 3}
    assert instance(schema) == wanted
    body = ask(
        "anything", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    )
    assert json.loads(chat(body)["choices"][0]["message"]["content"]) == wanted


def test_parse_when_given_the_little_language_builds_a_step() -> None:
    """Flags stand alone, values follow their names, and what is unknown is refused."""
    assert find_marker("please {{fail 429 retry-after=2}} now") == "fail 429 retry-after=2"
    assert parse("fail 429 retry-after=2; no-done eol crlf gap 0.5") == Step(
        fail=429, retry_after="2", no_done=True, eol="crlf", gap=0.5
    )
    assert strip_markers('{{silent}} {"a": {"b": {}}}') == '{"a": {"b": {}}}'
    with pytest.raises(ValueError, match="unknown"):
        parse("explode")


async def test_plain_when_asked_over_the_wire_is_the_pure_answer() -> None:
    """What a test computes is what the server sends, and the log holds the raw request."""
    async with ScriptedUpstream() as up:
        found, body = await fetch(up, ask("hello"))
        assert found.startswith(b"HTTP/1.1 200 OK")
        assert json.loads(body) == chat(ask("hello"))
        await up.until(lambda: up.log[0].finished)
        record = up.log[0]
        assert (record.path, record.status, record.json) == ("/v1/chat/completions", 200, ask("hello"))
        assert record.body == json.dumps(ask("hello")).encode()
        assert record.sent == len(found) + len(body)


async def test_stream_when_asked_over_the_wire_is_the_pure_answer() -> None:
    """Chunks as computed, then [DONE], all of them counted."""
    async with ScriptedUpstream() as up:
        _, body = await fetch(up, ask("hello", stream=True))
        assert events(body) == [*chat_chunks(ask("hello")), "[DONE]"]
        assert up.log[0].events == len(events(body))


async def test_opaque_routes_when_asked_answer_alike_in_both_encodings() -> None:
    """Embeddings agree as floats and as base64; completions and models answer; other paths do not."""
    async with ScriptedUpstream(models=("a/b",)) as up:
        asked = {"model": "e", "input": ["one", "two"]}
        floats = json.loads((await fetch(up, asked, "/v1/embeddings"))[1])["data"]
        packed = json.loads((await fetch(up, {**asked, "encoding_format": "base64"}, "/v1/embeddings"))[1])[
            "data"
        ]
        assert floats[1]["embedding"] == vector("two")
        assert list(struct.unpack("<8f", base64.b64decode(packed[1]["embedding"]))) == vector("two")
        legacy = json.loads((await fetch(up, {"model": "m", "prompt": "echo: hi"}, "/v1/completions"))[1])
        assert legacy["choices"][0]["text"] == "hi"
        models = json.loads((await fetch(up, None, "/v1/models", method="GET"))[1])
        assert models["data"][0]["id"] == "a/b"
        assert (await fetch(up, {}, "/v1/nothing"))[0].startswith(b"HTTP/1.1 404")


async def test_script_when_queued_is_used_in_order_and_then_spent() -> None:
    """A row of failures, then the usual answer; a GET takes none of them."""
    async with ScriptedUpstream() as up:
        up.script(Step(fail=429, retry_after="2"), "fail 503 body html", "fail 500 body empty", times=1)
        await fetch(up, None, "/v1/models", method="GET")
        limited, body = await fetch(up, ask("x"))
        assert b"HTTP/1.1 429" in limited
        assert b"\r\nretry-after: 2\r\n" in limited
        assert json.loads(body)["error"]["type"] == "rate_limit_error"
        assert (await fetch(up, ask("x")))[1].startswith(b"<html>")
        assert (await fetch(up, ask("x")))[1] == b""
        assert b"HTTP/1.1 200" in (await fetch(up, ask("x")))[0]


async def test_marker_when_it_has_times_acts_that_often() -> None:
    """A prompt fails once and then works, which is what a retry needs."""
    async with ScriptedUpstream() as up:
        body = ask("{{fail 503 times=1}} echo: hi")
        assert b"HTTP/1.1 503" in (await fetch(up, body))[0]
        assert b"HTTP/1.1 200" in (await fetch(up, body))[0]
        assert b"unknown" in (await fetch(up, ask("{{explode}}")))[1]


async def test_cut_when_scripted_leaves_the_framing_open() -> None:
    """K events arrive, then the end of the connection and no last chunk."""
    async with ScriptedUpstream() as up:
        body = await read_all(up, ask("{{cut 3}} words: 9", stream=True))
        assert body.count(b"data: ") == 3
        assert not body.endswith(b"0\r\n\r\n")
        assert (up.log[0].events, up.log[0].aborted) == (3, None)
        half = await read_all(up, ask("{{cut 1}}"))
        assert int(half.split(b"content-length: ")[1].split(b"\r\n")[0]) > len(half.split(b"\r\n\r\n")[1]) > 0


async def test_rst_when_scripted_resets_after_the_events() -> None:
    """The events can be read, and then comes a reset instead of an end."""
    async with ScriptedUpstream() as up:
        loop = asyncio.get_running_loop()
        body = json.dumps(ask("{{rst 2}} words: 9", stream=True)).encode()
        got = bytearray()
        with socket.create_connection(("127.0.0.1", up.port)) as raw:
            raw.setblocking(False)
            await loop.sock_sendall(raw, head(body) + body)
            with pytest.raises(ConnectionResetError):
                await drain(raw, got)
        assert got.count(b"data: ") == 2
        with pytest.raises(ConnectionResetError):
            await read_all(up, ask("{{hangup rst}}"))
        assert await read_all(up, ask("{{hangup fin}}")) == b""


async def test_silence_when_the_peer_leaves_is_logged_as_aborted() -> None:
    """No byte comes, and the log shows when the peer gave up."""
    async with ScriptedUpstream() as up:
        async with connect(up) as streams:
            await send(streams, ask("{{silent}}"))
            await up.until(lambda: up.log)
            assert up.open_connections == 1
        await up.until(lambda: up.log[0].aborted)
        assert (up.log[0].sent, up.log[0].finished, up.open_connections) == (0, None, 0)


async def test_hang_when_the_peer_leaves_counts_the_events_before() -> None:
    """A stream that stalls keeps its connection until the peer closes it."""
    async with ScriptedUpstream() as up:
        async with connect(up) as streams:
            await send(streams, ask("{{hang 2}} words: 5", stream=True))
            await up.until(lambda: up.log and up.log[0].events == 2)
        await up.until(lambda: up.log[0].aborted)


@pytest.mark.parametrize("eol", ["crlf", "cr", "lf"])
async def test_wire_forms_when_scripted_change_the_bytes_only(eol: str) -> None:
    """Line ends, comments, several data lines, a mark in front: the same events all the same."""
    async with ScriptedUpstream() as up:
        plain = chat_chunks(ask("echo: hi you"))
        marker = f"{{{{eol {eol} ping 2 multiline bom}}}} echo: hi you"
        _, body = await fetch(up, ask(marker, stream=True))
        assert body.startswith(b"\xef\xbb\xbf: ping")
        end = {"crlf": b"\r\n", "cr": b"\r", "lf": b"\n"}[eol]
        blocks = [block for block in body.removeprefix(b"\xef\xbb\xbf").split(end + end) if block[:1] == b"d"]
        joined = [b"".join(line[6:] for line in block.split(end)) for block in blocks]
        assert all(block.count(end) > 3 for block in blocks[:-1])
        contents = [json.loads(data)["choices"][0]["delta"].get("content") for data in joined[:-1]]
        assert contents == [chunk["choices"][0]["delta"].get("content") for chunk in plain]


async def test_content_when_scripted_is_damaged_where_told() -> None:
    """Bytes that are not UTF-8, separators left unescaped, one huge delta, half a JSON."""
    async with ScriptedUpstream() as up:
        assert b"\xff\xfe" in (await fetch(up, ask("{{bad-utf8 1}}", stream=True)))[1]
        assert b"\xe2\x80\xa8" in (await fetch(up, ask("{{separators}}", stream=True)))[1]
        assert b"x" * 300_000 in (await fetch(up, ask("{{huge 300000}}", stream=True)))[1]
        with pytest.raises(json.JSONDecodeError):
            json.loads((await fetch(up, ask("{{body malformed}}")))[1])
        failed = events((await fetch(up, ask("{{error-at 2}}", stream=True)))[1])
        assert "error" in failed[2]
        assert len(failed) == 3
        assert "[DONE]" not in events((await fetch(up, ask("{{no-done}}", stream=True)))[1])


async def test_framing_when_scripted_is_length_or_close() -> None:
    """The same events with a content-length, and with nothing but the end of the connection."""
    async with ScriptedUpstream() as up:
        asked = chat_chunks(ask("echo: hi"))
        found, body = await fetch(up, ask("{{framing length}} echo: hi", stream=True))
        assert b"transfer-encoding" not in found
        assert [e["choices"] for e in events(body)[:-1]] == [chunk["choices"] for chunk in asked]
        closed = await read_all(up, ask("{{framing close}} echo: hi", stream=True))
        assert b"content-length" not in closed
        assert closed.endswith(b"data: [DONE]\n\n")
        dripped = await read_all(up, ask("{{drip 0 keep-alive=false}} echo: hi", stream=True))
        assert dripped.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert b"no HTTP" in await read_all(up, ask("{{garbage}}"))


async def test_connections_when_refused_and_dropped_are_gone() -> None:
    """The upstream can vanish and come back on the same port, and drop what it holds."""
    async with ScriptedUpstream() as up:
        async with connect(up) as (reader, _):
            await up.until(lambda: up.open_connections == 1)
            up.drop_connections()
            assert await reader.read() == b""
        await up.refuse()
        with pytest.raises(ConnectionRefusedError):
            await fetch(up, ask("x"))
        await up.listen()
        assert b"200" in (await fetch(up, ask("x")))[0]


async def test_key_when_wrong_is_a_401() -> None:
    """An upstream with a key refuses others."""
    async with ScriptedUpstream(api_key="sk-up") as up:
        assert b"HTTP/1.1 401" in (await fetch(up, ask("x")))[0]
        async with connect(up) as streams:
            await send(streams, ask("x"), extra="authorization: Bearer sk-up\r\n")
            assert (await streams[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
