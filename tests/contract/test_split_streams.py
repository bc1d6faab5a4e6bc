"""Where a stream is cut changes nothing, be it passed on as it is or translated, between every pair of dialects.

The network cuts bytes: inside of a character, of an escape, of a line end. Servers cut tokens: inside of a character, of
an escape in a call's arguments, between the halves of an escaped pair.
"""

import json
import os
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.canonical import Answer, Origin, Text, ToolCall
from ingot.events import fold
from ingot.sse import SseSplitter, event_data
from pairs.exchange import CODECS, PAIRS, RELAYS, STREAMED, dumped, send, tap, tapped
from pairs.streams import STREAMS, Cut
from pairs.told import TOLD, WRITTEN
from pairs.words import Json, text, tool_use

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "60"))
ASKED: dict[str, Json] = {
    "chat": {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]},
    "messages": {"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"model": "demo", "input": "Hi"},
}
FEATURES = ("arguments", "thinking", "citations", "tools_custom", "cached_tokens")
pairs = pytest.mark.parametrize(("client", "target"), PAIRS)


def told(feature: str, target: str) -> Json:
    """A target's answer under the public name, which it goes by here."""
    return {**TOLD[feature][target], "model": "demo"}


def through(pieces: list[bytes], client: str, target: str) -> bytes:
    """What a client gets of a stream in pieces: its very bytes within one dialect, translated between two."""
    sent = send(ASKED[client], client, target, stream=True)
    if client == target:
        call = RELAYS[client].decode(dumped({**ASKED[client], **STREAMED[client]}))
        return tapped(pieces, RELAYS[client].tap(call, model="demo", public="demo"))
    return tapped(pieces, tap(sent, client, target))


@pytest.mark.parametrize("feature", FEATURES)
@pairs
def test_stream_when_it_comes_byte_by_byte(feature: str, client: str, target: str) -> None:
    """The client gets the same bytes as if it came at once; within one dialect the target's own."""
    data = STREAMS[target](told(feature, target))
    at_once = through([data], client, target)
    assert through([data[at : at + 1] for at in range(len(data))], client, target) == at_once
    if client == target:
        assert at_once == data


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("target", STREAMS)
def test_stream_when_it_comes_in_two_pieces(feature: str, target: str) -> None:
    """Wherever it is cut, the same events are read; all that follows knows only those."""
    data = STREAMS[target](told(feature, target))
    at_once = SseSplitter().feed(data)
    for at in range(len(data)):
        splitter = SseSplitter()
        assert splitter.feed(data[:at]) + splitter.feed(data[at:]) == at_once


@pairs
@settings(max_examples=EXAMPLES, deadline=None)
@given(draw=st.data())
def test_stream_when_it_comes_in_any_pieces(client: str, target: str, draw: st.DataObject) -> None:
    """The same for pieces of any lengths, and any line end."""
    data = STREAMS[target](told(draw.draw(st.sampled_from(FEATURES)), target))
    if client != target:
        data = data.replace(b"\n", draw.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=20))
    ends = [0, *sorted(cuts), len(data)]
    assert through([data[low:high] for low, high in pairwise(ends)], client, target) == through(
        [data], client, target
    )


# --- what servers cut ---


def halves(at: int) -> Cut:
    """Two pieces of a text, cut between any two units of UTF-16: half a character is written as an escape then."""

    def cut(whole: str) -> list[str]:
        data = whole.encode("utf-16-le")
        return [each.decode("utf-16-le", "surrogatepass") for each in (data[: 2 * at], data[2 * at :])]

    return cut


def broken_bytes(at: int) -> Cut:
    """Two pieces of a text, cut between any two bytes: neither event is UTF-8 then."""

    def cut(whole: str) -> list[str]:
        data = whole.encode()
        return [each.decode("utf-8", "surrogateescape") for each in (data[:at], data[at:])]

    return cut


def answer_of(said: str, target: str) -> Json:
    """An answer that says this, and calls a tool with it."""
    given_to = json.dumps({"text": said, "ascii": json.dumps(said)})
    if target == "messages":
        return {**told("text", target), "content": [text(said), tool_use(3, "edit", json.loads(given_to))]}
    answer: Json = json.loads(json.dumps(told("arguments", target)))
    if target == "chat":
        message = answer["choices"][0]["message"]
        message["content"] = said
        message["tool_calls"][0]["function"]["arguments"] = given_to
        del message["tool_calls"][1]
    else:
        answer["output"][0]["arguments"] = given_to
        answer["output"][1] = json.loads(json.dumps(told("text", target)["output"][0]))
        answer["output"][1]["content"][0]["text"] = said
    return answer


def read(data: bytes, client: str) -> tuple[str, str, object]:
    """The text and the call that a client reads, and why it ended."""
    decoder = CODECS[client].decode_stream(Origin(CODECS[client].name), 1)
    events = []
    for event in SseSplitter().feed(data):
        held = event_data(event)
        if held is not None:
            events += decoder.feed(held)
    whole: Answer = fold([*events, *decoder.close()])
    parts = whole.outputs[0].parts
    said = "".join(part.text for part in parts if isinstance(part, Text))
    [call] = [part for part in parts if isinstance(part, ToolCall)]
    return said, call.arguments, (whole.outputs[0].finish, whole.usage, call.id)


@pytest.mark.parametrize("cut", [halves, broken_bytes])
@pairs
def test_stream_when_its_server_cuts_characters(client: str, target: str, cut: Callable[[int], Cut]) -> None:
    """Text and arguments come whole to the client wherever they were cut, and so does all around them."""
    said = WRITTEN[-24:] + " 世界"
    answer = answer_of(said, target)
    at_once = read(through([STREAMS[target](answer, halves(0))], client, target), client)
    assert at_once[0] == said
    assert json.loads(at_once[1])["ascii"] == json.dumps(said)
    for at in range(len(at_once[1].encode()) + 1):
        data = STREAMS[target](answer, cut(at))
        if client == target:
            # What is passed on is as broken as it came.
            assert through([data], client, target) == data
        assert read(through([data], client, target), client) == at_once
