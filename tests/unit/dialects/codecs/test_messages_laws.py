"""The laws of the messages codec on drawn values: what it encodes it decodes again, whole and streamed."""

import json
import os
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from canonicalforms import bare
from ingot.canonical import Answer, Origin, Reasoning, Request, Text, ToolCall, Turn, Usage
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination, Reply
from ingot.dialects.codecs.messages import MESSAGES_CODEC, MESSAGES_CODECS, Version
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Ended,
    Finished,
    Noted,
    PartEnded,
    PartStarted,
    ReasoningDelta,
    Sealed,
    Started,
    TextDelta,
    UsageTold,
    fold,
)
from ingot.rawjson import Body, parse
from ingot.sse import SseSplitter, event_data
from messageforms import MESSAGES, messages_answers, messages_requests, usages

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "60"))
ASKED = Request(origin="messages", model="m", turns=(Turn("user", ()),), stream=True)
NOWHERE = Body(b"{}", {})


def reply(answer: Answer) -> Reply:
    """What keeps an answer's own names."""
    return Reply(answer.id, answer.model, 0, ASKED, NOWHERE)


def told(answer: Answer) -> list[AnyEvent]:
    """An answer as the events of a stream."""
    output = answer.outputs[0]
    events: list[AnyEvent] = [
        Started(
            answer.origin,
            answer.id,
            answer.model,
            service_tier=answer.service_tier,
            extras=answer.extras,
        )
    ]
    for number, part in enumerate(output.parts):
        match part:
            case Text():
                events.append(PartStarted(0, number, Text("", extras=part.extras)))
                events += [Cited(0, number, each) for each in part.citations]
                events += [TextDelta(0, number, each) for each in part.text]
            case ToolCall():
                events.append(PartStarted(0, number, ToolCall(part.id, part.name, "", extras=part.extras)))
                events += [ArgumentsDelta(0, number, each) for each in part.arguments]
            case Reasoning() if part.seal is None or part.seal.kind == "signature":
                events.append(PartStarted(0, number, Reasoning(part.origin, extras=part.extras)))
                events += [ReasoningDelta(0, number, each) for text in part.content for each in text]
                events += [Sealed(0, number, part.seal)] if part.seal is not None else []
            case _:
                events.append(PartStarted(0, number, part))
        events.append(PartEnded(0, number))
    if output.extras is not None:
        events.append(Noted(output.extras, "choice"))
    if output.finish is not None:
        events.append(Finished(0, output.finish, output.told, output.stop_sequence))
    if answer.usage is not None:
        events.append(UsageTold(answer.usage))
    return [*events, Ended()]


def decoded(pieces: list[bytes]) -> list[list[AnyEvent]]:
    """The events of a stream, those of one of its own events together."""
    splitter, decoder = SseSplitter(), MESSAGES_CODEC.decode_stream(MESSAGES, 1)
    events = [
        decoder.feed(data)
        for piece in pieces
        for event in splitter.feed(piece)
        if (data := event_data(event)) is not None
    ]
    assert decoder.losses == ()
    return [*events, decoder.close()]


def folded(events: list[list[AnyEvent]]) -> Answer:
    """The answer of these events."""
    return fold(event for each in events for event in each)


@settings(max_examples=EXAMPLES, deadline=None)
@given(request=messages_requests())
def test_request_when_encoded_and_decoded(request: Request) -> None:
    """A request that messages can carry comes back as it was."""
    to = Destination(Origin("messages", "target"), request.model, Quirks(), stream=request.stream)
    data, losses = MESSAGES_CODEC.encode_request(request, to)
    again, unread = MESSAGES_CODEC.decode_request(parse(data))
    assert bare(again) == bare(request)
    assert losses == unread == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(request=messages_requests(), version=st.sampled_from(sorted(MESSAGES_CODECS)))
def test_request_when_encoded_once_more(request: Request, version: Version) -> None:
    """Under either version, what a target gets says the same when it is read and written again."""
    codec = MESSAGES_CODECS[version]
    to = Destination(Origin("messages", "target"), request.model, Quirks(), stream=request.stream)
    data, losses = codec.encode_request(request, to)
    again, _ = codec.decode_request(parse(data))
    twice, unsaid = codec.encode_request(again, to)
    assert json.loads(twice) == json.loads(data)
    assert unsaid == ()
    assert version == "2026-10-21" or losses == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(answer=messages_answers())
def test_answer_when_encoded_and_decoded(answer: Answer) -> None:
    """An answer that messages can carry comes back as it was."""
    data, losses = MESSAGES_CODEC.encode_answer(answer, reply(answer))
    again, unread = MESSAGES_CODEC.decode_answer(data, answer.origin)
    assert bare(again) == answer
    assert losses == unread == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), answer=messages_answers(), together=st.integers(1, 9))
def test_stream_when_encoded_and_cut_anywhere(data: st.DataObject, answer: Answer, together: int) -> None:
    """Its events fold to what the unstreamed answer says, be they few or many at once and the bytes cut anywhere."""
    encoder = MESSAGES_CODEC.encode_stream(reply(answer))
    events = told(answer)
    given_out = [encoder.feed(events[at : at + together]) for at in range(0, len(events), together)]
    stream = b"".join(given_out)
    at = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[low:high] for low, high in pairwise([0, *at, len(stream)])]
    assert bare(folded(decoded(pieces))) == answer
    assert decoded(pieces) == decoded([stream])
    assert encoder.losses == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(usage=usages())
def test_usage_when_encoded_and_decoded(usage: Usage) -> None:
    """Counts come back as they were: what is cached is told beside the input, and belongs to it."""
    encoded = MESSAGES_CODEC.encode_usage(usage)
    again = MESSAGES_CODEC.decode_usage(msgspec.json.decode(msgspec.json.encode(encoded)))
    assert again == usage
