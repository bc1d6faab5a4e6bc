"""The laws of the responses codec on drawn values: what it encodes it decodes again, whole and streamed."""

import json
import os
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from canonicalforms import bare, without_nothing
from ingot.canonical import Answer, Origin, Request, Turn
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination, Reply
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.events import AnyEvent, fold
from ingot.rawjson import Body, parse
from ingot.sse import SseSplitter, event_data
from responseforms import RESPONSES, responses_answers, responses_requests
from responsestreams import strange_streams

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "60"))
ASKED = Request(origin="responses", model="m", turns=(Turn("user", ()),), stream=True)
NOWHERE = Body(b"{}", {})


def reply(answer: Answer) -> Reply:
    """What keeps an answer's own names."""
    return Reply(answer.id, answer.model, int(answer.created or 0), ASKED, NOWHERE)


def encoded(answer: Answer) -> bytes:
    """The answer for a client, of which nothing is lost."""
    data, losses = RESPONSES_CODEC.encode_answer(answer, reply(answer))
    assert losses == ()
    return data


def decoded(pieces: list[bytes]) -> list[list[AnyEvent]]:
    """The events of a stream, those of one of its own events together."""
    splitter, decoder = SseSplitter(), RESPONSES_CODEC.decode_stream(RESPONSES, 1)
    told = [
        decoder.feed(data)
        for piece in pieces
        for event in splitter.feed(piece)
        if (data := event_data(event)) is not None
    ]
    assert decoder.losses == ()
    return [*told, decoder.close()]


def folded(told: list[list[AnyEvent]]) -> Answer:
    """The answer of these events."""
    return fold(event for events in told for event in events)


@settings(max_examples=EXAMPLES, deadline=None)
@given(request=responses_requests())
def test_request_when_encoded_and_decoded(request: Request) -> None:
    """A request that responses can carry comes back as it was."""
    to = Destination(Origin("responses", "target"), request.model, Quirks(), stream=request.stream)
    data, losses = RESPONSES_CODEC.encode_request(request, to)
    again, unread = RESPONSES_CODEC.decode_request(parse(data))
    assert bare(again) == bare(request)
    assert losses == unread == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(answer=responses_answers())
def test_answer_when_encoded_and_decoded(answer: Answer) -> None:
    """An answer that responses can carry comes back as it was."""
    again, unread = RESPONSES_CODEC.decode_answer(encoded(answer), answer.origin)
    assert bare(again) == answer
    assert unread == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), answer=responses_answers())
def test_stream_when_a_server_tells_it_in_its_way(data: st.DataObject, answer: Answer) -> None:
    """Its events fold to what the unstreamed answer says, be items mixed, deltas left out or characters cut in two."""
    response = encoded(answer)
    stream = data.draw(strange_streams(json.loads(response)))
    at = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[low:high] for low, high in pairwise([0, *at, len(stream)])]
    events = decoded(pieces)
    assert in_order(folded(events)) == in_order(answer)
    assert events == decoded([stream])


def in_order(answer: Answer) -> Answer:
    """Log probabilities come with deltas or with their part's end: here they are in the order of the parts."""
    [output] = answer.outputs
    runs = tuple(sorted(output.logprobs, key=lambda run: run.part or 0))
    return bare(structs.replace(answer, outputs=(structs.replace(output, logprobs=runs),)))


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), answer=responses_answers(), together=st.integers(1, 9))
def test_stream_when_encoded_for_a_client(data: st.DataObject, answer: Answer, together: int) -> None:
    """Clients that stream are told, event by event and at the end, what one who did not has."""
    events = decoded([data.draw(strange_streams(json.loads(encoded(answer))))])
    flat = [event for each in events for event in each]
    encoder = RESPONSES_CODEC.encode_stream(reply(answer))
    given = [encoder.feed(flat[at : at + together]) for at in range(0, len(flat), together)]
    assert encoder.losses == ()
    assert in_order(folded(decoded(given))) == in_order(answer)
    last = json.loads(event_data(SseSplitter().feed(b"".join(given))[-1]) or b"")
    assert without_nothing(last["response"]) == without_nothing(json.loads(encoded(answer)))
