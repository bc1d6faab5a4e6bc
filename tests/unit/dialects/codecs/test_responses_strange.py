"""Golden transcripts of responses with anything put in any place: clients are refused, targets are not believed.

No such body ends in another error, and what was decoded can be encoded.
"""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.canonical import Answer, Origin, Request
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination, Reply
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.errors import InvalidRequest
from ingot.events import AnyEvent, fold
from ingot.rawjson import parse
from ingot.sse import SseSplitter, event_data
from repository import ROOT

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "60"))
GOLDEN = sorted((ROOT / "tests" / "contract" / "responses").iterdir())
HERE = Origin("responses", "t")
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "message", [], {}, [None], [1], ["x"], [[]], {"type": 5}, {"type": "x"}]
)


def holding(file: str) -> list[Path]:
    """The transcripts with this file."""
    return [case for case in GOLDEN if (case / file).exists()]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in a value: what holds it, and its key."""
    held = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in held:
        yield value, key
        yield from places(child)


def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """The value with junk in one or two of its places, or a place less."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        found = list(places(value))
        if not found:
            break
        holder, key = found[draw(st.integers(0, len(found) - 1))]
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(draw(JUNK))
    return value


@st.composite
def bodies(draw: st.DrawFn, file: str) -> bytes:
    """The body of a transcript, spoilt."""
    case = draw(st.sampled_from(holding(file)))
    return json.dumps(spoilt(draw, json.loads((case / file).read_bytes()))).encode()


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """The data of a transcript's events, one of them spoilt, or some of them gone."""
    case = draw(st.sampled_from(holding("upstream.sse")))
    events = [
        event_data(event) or b"{}" for event in SseSplitter().feed((case / "upstream.sse").read_bytes())
    ]
    gone = draw(st.sets(st.integers(0, len(events) - 1), max_size=3))
    kept = [event for at, event in enumerate(events) if at not in gone] or events
    at = draw(st.integers(0, len(kept) - 1))
    kept[at] = json.dumps(spoilt(draw, json.loads(kept[at]))).encode()
    return kept


def reply() -> Reply:
    """A reply to a client that asked for a text."""
    body = parse((GOLDEN[0].parent / "text" / "request.json").read_bytes())
    request, _ = RESPONSES_CODEC.decode_request(body)
    return Reply("resp_1", "demo", 1, request, body)


@settings(max_examples=EXAMPLES * 5, deadline=None)
@given(data=bodies("request.json"))
def test_request_when_it_is_spoilt(data: bytes) -> None:
    """It is refused with an error that names a field, or it goes to targets of either dialect."""
    try:
        request, _ = RESPONSES_CODEC.decode_request(parse(data))
    except InvalidRequest as error:
        refused = error
    else:
        sent(request)
        return
    assert refused.param is not None


def sent(request: Request) -> None:
    """Sends it to targets of either dialect."""
    for codec in (RESPONSES_CODEC, CHAT_CODEC):
        encoded, _ = codec.encode_request(
            request, Destination(Origin(codec.name), "m", Quirks(), stream=True)
        )
        json.loads(encoded)


@settings(max_examples=EXAMPLES * 5, deadline=None)
@given(data=bodies("upstream.json"))
def test_answer_when_it_is_spoilt(data: bytes) -> None:
    """It is none, or it goes to clients of either dialect."""
    try:
        answer, _ = RESPONSES_CODEC.decode_answer(data, HERE)
    except ValueError:
        return
    told(answer)


def told(answer: Answer) -> None:
    """Tells it to clients of either dialect."""
    for codec in (RESPONSES_CODEC, CHAT_CODEC):
        encoded, _ = codec.encode_answer(answer, reply())
        json.loads(encoded)


@settings(max_examples=EXAMPLES * 5, deadline=None)
@given(data=streams())
def test_stream_when_it_is_spoilt(data: list[bytes]) -> None:
    """Each event is one or none; what they say can be told to clients of either dialect, and folded."""
    decoder = RESPONSES_CODEC.decode_stream(HERE, 1)
    encoders = [codec.encode_stream(reply()) for codec in (RESPONSES_CODEC, CHAT_CODEC)]
    events: list[AnyEvent] = []
    for each in data:
        try:
            together = decoder.feed(each)
        except ValueError:
            continue
        events += together
        for encoder in encoders:
            encoder.feed(together)
    last = decoder.close()
    for encoder in encoders:
        encoder.feed(last)
    if events:
        told(fold(events + last))
